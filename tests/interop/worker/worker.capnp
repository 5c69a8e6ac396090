# How workerd runs the backend. The port and the folder of the data are given when it is started.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "backend", worker = .backend),
    (name = "data", disk = (writable = true)),
  ],
  sockets = [(name = "http", http = (), service = "backend")],
);

const backend :Workerd.Worker = (
  # The bundle is looked for in the folder that is given with --import-path.
  modules = [(name = "worker.js", esModule = embed "/worker.js")],
  compatibilityDate = "2025-11-18",
  # LiveStore asks for the second one.
  compatibilityFlags = ["nodejs_compat", "enable_request_signal"],
  bindings = [
    (name = "SYNC_BACKEND_DO", durableObjectNamespace = "SyncBackendDO"),
    # Null if workerd is started without.
    (name = "TOKEN", fromEnvironment = "TOKEN"),
  ],
  durableObjectNamespaces = [(className = "SyncBackendDO", uniqueKey = "SyncBackendDO", enableSql = true)],
  durableObjectStorage = (localDisk = "data"),
);
