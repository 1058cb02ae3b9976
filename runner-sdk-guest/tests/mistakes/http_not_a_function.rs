#[runner::http]
struct Site;

fn main() {}
