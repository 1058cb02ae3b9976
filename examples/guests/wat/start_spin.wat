;; Start spin. Loops for ever in the start function, before any export can be called.
(module
  (func $spin (loop $again (br $again)))
  (start $spin)
  (func (export "never") (result i32) (i32.const 1)))
