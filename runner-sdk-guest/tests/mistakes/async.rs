#[runner::task]
async fn total(order: String) -> Result<u32, runner::Failure> {
    Ok(order.len() as u32)
}

fn main() {}
