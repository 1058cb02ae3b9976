;; Big table. Wants ten million table elements before it does anything.
(module
  (table $table 10000000 funcref)
  (func (export "elements") (result i32) (table.size $table)))
