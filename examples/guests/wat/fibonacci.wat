;; Fibonacci. The n-th number, by a loop; 92 is the last that fits an i64.
(module
  (func (export "fibonacci") (param $n i32) (result i64)
    (local $this i64) (local $next i64) (local $sum i64)
    (local.set $next (i64.const 1))
    (block $done
      (loop $step
        (br_if $done (i32.le_s (local.get $n) (i32.const 0)))
        (local.set $sum (i64.add (local.get $this) (local.get $next)))
        (local.set $this (local.get $next))
        (local.set $next (local.get $sum))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $step)))
    (local.get $this)))
