throw new Error('LiveStore 0.4.0 is not installed: run `npm ci` in tests/interop')
