#[runner::task]
struct Order;

fn main() {}
