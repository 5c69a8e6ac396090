import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // The engine is instantiated by top-level await.
  build: { target: 'es2022', sourcemap: true },
  // Has its WebAssembly beside it, as a file that must stay where it is.
  optimizeDeps: { exclude: ['@livestore-rs/adapter-web'] },
})
