;; Memory touch. One page of memory; writes a number, reads it back, sums what was written.
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "\01\02\03\04")
  ;; Writes the value at the address and reads it from there; traps outside the page.
  (func $touch (export "touch") (param $address i32) (param $value i32) (result i32)
    (i32.store (local.get $address) (local.get $value))
    (i32.load (local.get $address)))
  (func (export "load") (param $address i32) (result i32)
    (i32.load (local.get $address)))
  ;; Sums every word of the page, so that all of it is read.
  (func (export "sum") (result i32)
    (local $address i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $address))))
      (local.set $address (i32.add (local.get $address) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $address) (i32.const 65536))))
    (local.get $sum)))
