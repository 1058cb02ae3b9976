;; Swap. Returns its two values in the other order: a function with several results.
(module
  (func (export "swap") (param $a i32) (param $b i64) (result i64 i32)
    (local.get $b)
    (local.get $a)))
