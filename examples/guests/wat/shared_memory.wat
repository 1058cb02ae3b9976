;; Shared memory. Imports one from the threads proposal, which is not served here.
(module
  (import "env" "memory" (memory 1 1 shared))
  (func (export "add") (param $address i32) (param $value i32) (result i32)
    (i32.atomic.rmw.add (local.get $address) (local.get $value))))
