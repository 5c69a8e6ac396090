//! Where the sessions of a store find its leader on this machine: a socket beside the store's file, or a
//! named pipe on Windows.
//!
//! Only the same user gets in: each end asks the system who is at the other one. (On Windows the system's
//! rules for pipes are all there is.)

use std::path::{Path, PathBuf};

pub(crate) use system::{Listener, Stream, connect};

/// Returns the one path to a store's file: two paths to it would be two addresses.
fn real_path(file: &Path) -> PathBuf {
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    let name = file.file_name().unwrap_or_default();
    folder.map_or_else(|| file.to_path_buf(), |folder| folder.join(name))
}

/// Names a store's file where its path cannot be used.
fn short_name(path: &Path) -> String {
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes());
    hash.to_hex()[..16].to_owned()
}

#[cfg(unix)]
mod system {
    use std::fs::{self, DirBuilder};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
    use std::path::{Path, PathBuf};

    use tokio::net::{UnixListener, UnixStream};

    use super::{real_path, short_name};

    pub(crate) type Stream = UnixStream;

    /// Longest path of a socket that every system takes, in bytes.
    const MAX_PATH: usize = 100;

    fn refused(what: impl Into<String>) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, what.into())
    }

    /// Returns the path of the socket for a store's file.
    fn address(file: &Path, user: u32) -> PathBuf {
        let file = real_path(file);
        let beside = file.with_extension("livestore-socket");
        if beside.as_os_str().len() <= MAX_PATH {
            return beside;
        }
        let folder = std::env::temp_dir().join(format!("livestore-{user}"));
        folder.join(format!("{}.socket", short_name(&file)))
    }

    /// Returns the user that this process runs for.
    fn own_user() -> io::Result<u32> {
        // The system tells it of both ends of a pair, and without unsafe code of nothing else.
        let (end, _other) = UnixStream::pair()?;
        Ok(end.peer_cred()?.uid())
    }

    /// Makes the folder of a socket that is not beside its file, for this user alone.
    fn prepare(socket: &Path, file: &Path, user: u32) -> io::Result<()> {
        let (Some(folder), true) = (socket.parent(), socket.parent() != real_path(file).parent())
        else {
            return Ok(());
        };
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(folder)?;
        if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
            return Err(refused(format!("{} is not this user's alone", folder.display())));
        }
        Ok(())
    }

    /// The place where sessions come to; it is gone when this is dropped.
    pub(crate) struct Listener {
        socket: UnixListener,
        path: PathBuf,
        user: u32,
    }

    impl Listener {
        /// Listens for the sessions of a store, whose lock this process has.
        pub(crate) fn bind(file: &Path) -> io::Result<Self> {
            let user = own_user()?;
            let path = address(file, user);
            prepare(&path, file, user)?;
            match fs::symlink_metadata(&path) {
                // Whoever left it there is gone, or it would have the lock.
                Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
                Ok(_) => return Err(refused(format!("{} is no socket", path.display()))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let socket = UnixListener::bind(&path)?;
            Ok(Self { socket, path, user })
        }

        /// Waits for the next session of the same user.
        pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
            let (stream, _) = self.socket.accept().await?;
            let peer = stream.peer_cred()?.uid();
            // The administrator can read and write the file as well.
            if peer != self.user && peer != 0 {
                return Err(refused(format!("user {peer} is not let in")));
            }
            Ok(stream)
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            // Before the lock goes, so that it cannot be that of the next leader.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Connects to the leader of a store, if there is one.
    pub(crate) async fn connect(file: &Path) -> io::Result<Stream> {
        let stream = UnixStream::connect(address(file, own_user()?)).await?;
        let owner = stream.peer_cred()?.uid();
        if owner != own_user()? {
            return Err(refused(format!("the leader is that of user {owner}")));
        }
        Ok(stream)
    }
}

#[cfg(windows)]
mod system {
    use std::io;
    use std::path::Path;

    use tokio::net::windows::named_pipe::{
        ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions,
    };

    use super::{real_path, short_name};

    fn address(file: &Path) -> String {
        format!(r"\\.\pipe\livestore-{}", short_name(&real_path(file)))
    }

    /// Either end of a pipe.
    pub(crate) enum Stream {
        Leader(NamedPipeServer),
        Session(NamedPipeClient),
    }

    /// The place where sessions come to.
    pub(crate) struct Listener {
        next: NamedPipeServer,
        address: String,
    }

    impl Listener {
        /// Listens for the sessions of a store, whose lock this process has.
        pub(crate) fn bind(file: &Path) -> io::Result<Self> {
            let address = address(file);
            // Without other rules a pipe can be opened for writing by its user and administrators alone.
            let next = ServerOptions::new()
                .first_pipe_instance(true)
                .reject_remote_clients(true)
                .create(&address)?;
            Ok(Self { next, address })
        }

        /// Waits for the next session.
        pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
            self.next.connect().await?;
            let next = ServerOptions::new().reject_remote_clients(true).create(&self.address)?;
            Ok(Stream::Leader(std::mem::replace(&mut self.next, next)))
        }
    }

    /// Connects to the leader of a store, if there is one.
    pub(crate) async fn connect(file: &Path) -> io::Result<Stream> {
        Ok(Stream::Session(ClientOptions::new().open(address(file))?))
    }

    mod io_of_either {
        use std::io;
        use std::pin::Pin;
        use std::task::{Context, Poll};

        use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

        use super::Stream;

        impl AsyncRead for Stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Leader(pipe) => Pin::new(pipe).poll_read(cx, buffer),
                    Self::Session(pipe) => Pin::new(pipe).poll_read(cx, buffer),
                }
            }
        }

        impl AsyncWrite for Stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::Leader(pipe) => Pin::new(pipe).poll_write(cx, bytes),
                    Self::Session(pipe) => Pin::new(pipe).poll_write(cx, bytes),
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Leader(pipe) => Pin::new(pipe).poll_flush(cx),
                    Self::Session(pipe) => Pin::new(pipe).poll_flush(cx),
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Leader(pipe) => Pin::new(pipe).poll_shutdown(cx),
                    Self::Session(pipe) => Pin::new(pipe).poll_shutdown(cx),
                }
            }
        }
    }
}
