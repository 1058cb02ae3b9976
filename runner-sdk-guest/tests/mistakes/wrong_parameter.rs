struct Order {
    count: u32,
}

#[runner::task]
fn total(customer: String, order: Order) -> u32 {
    order.count + customer.len() as u32
}

fn main() {}
