#[runner::task]
fn total(order: &str) -> u32 {
    order.len() as u32
}

fn main() {}
