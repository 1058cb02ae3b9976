;; References. Exports whose externref and funcref have no JSON form, with a plain one beside them.
(module
  (func (export "takes_externref") (param $a externref) (result i32)
    (ref.is_null (local.get $a)))
  (func (export "returns_externref") (result externref)
    (ref.null extern))
  (func (export "takes_funcref") (param $a funcref) (result i32)
    (ref.is_null (local.get $a)))
  (func (export "add") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b))))
