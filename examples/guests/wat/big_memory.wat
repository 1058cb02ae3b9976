;; Big memory. Wants one GiB before it does anything.
(module
  (memory (export "memory") 16384)
  (func (export "pages") (result i32) (memory.size)))
