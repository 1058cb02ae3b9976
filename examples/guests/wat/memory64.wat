;; Wide memory. A memory of 64-bit addresses, which grows, and is written and read at any of them.
(module
  (memory (export "memory") i64 1)
  (func (export "size") (result i64) (memory.size))
  (func (export "grow_by") (param $pages i64) (result i64)
    (memory.grow (local.get $pages)))
  ;; Writes a value at an address and reads it back.
  (func (export "keep") (param $address i64) (param $value i64) (result i64)
    (i64.store (local.get $address) (local.get $value))
    (i64.load (local.get $address)))
  ;; Grows by one MiB at a time until it is refused, and gives up.
  (func (export "grow")
    (loop $again
      (br_if $again (i64.ne (memory.grow (i64.const 16)) (i64.const -1))))
    (unreachable)))
