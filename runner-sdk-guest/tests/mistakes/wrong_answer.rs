use runner::Failure;

struct Receipt {
    total: u32,
}

#[runner::task]
fn pay(total: u32) -> Result<Receipt, Failure> {
    Ok(Receipt { total })
}

fn main() {}
