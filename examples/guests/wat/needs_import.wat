;; Needs an import. Asks for a function `missing` of a module `env`, which nobody has.
(module
  (import "env" "missing" (func $missing (param i32) (result i32)))
  (func (export "run") (param $a i32) (result i32)
    (call $missing (local.get $a))))
