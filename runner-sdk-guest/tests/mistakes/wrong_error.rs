#[runner::task]
fn half(number: u32) -> Result<u32, String> {
    if number % 2 == 0 { Ok(number / 2) } else { Err("it is odd".to_owned()) }
}

fn main() {}
