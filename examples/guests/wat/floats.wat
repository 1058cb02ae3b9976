;; Floats. Returns f32 and f64 as they came (NaN and infinities too), and a square root.
(module
  (func (export "identity_f32") (param $a f32) (result f32)
    (local.get $a))
  (func (export "identity_f64") (param $a f64) (result f64)
    (local.get $a))
  (func (export "sqrt") (param $a f64) (result f64)
    (f64.sqrt (local.get $a))))
