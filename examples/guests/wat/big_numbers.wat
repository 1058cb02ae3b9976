;; Big numbers. Adds or returns i64 that a JSON number cannot hold.
(module
  (func (export "add") (param $a i64) (param $b i64) (result i64)
    (i64.add (local.get $a) (local.get $b)))
  (func (export "identity") (param $a i64) (result i64)
    (local.get $a)))
