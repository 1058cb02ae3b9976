;; Spin. Loops for ever.
(module
  (func $spin (export "spin")
    (loop $again (br $again))))
