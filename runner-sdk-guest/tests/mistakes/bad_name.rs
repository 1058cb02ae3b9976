#[runner::task(name = "the total")]
fn total(order: String) -> u32 {
    order.len() as u32
}

fn main() {}
