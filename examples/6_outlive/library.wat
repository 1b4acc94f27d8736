;; Two functions over one memory: `setup` fills it, `lookup` is called later, in another process, perhaps after a restart of the host.
(module
  (memory (export "memory") 1)
  (func (export "setup") (i32.store (i32.const 0) (i32.const 42)))
  (func (export "lookup") (result i32) (i32.load (i32.const 0))))
