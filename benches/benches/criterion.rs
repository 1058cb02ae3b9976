//! Each row's two sides alone, by Criterion: its statistics, its history in `target/criterion`, its filters.
//!
//! What takes seconds an operation, needs several processes or counts bytes is only in the table.

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let _runtime = runner_benches::enter();
    let mut criterion = Criterion::default()
        .sample_size(10)
        .nresamples(1_000)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    for row in runner_benches::rows().filter(|row| !row.slow) {
        let mut group = criterion.benchmark_group(row.name);
        // Set up only where the filter lets it run.
        let mut sides = None;
        group.bench_function("bare", |bencher| {
            let (bare, _) = sides.get_or_insert_with(row.sides);
            bencher.iter_custom(bare);
        });
        group.bench_function("runner", |bencher| {
            let (_, ours) = sides.get_or_insert_with(row.sides);
            bencher.iter_custom(ours);
        });
        group.finish();
    }
    criterion.final_summary();
}
