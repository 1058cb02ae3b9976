struct Shop;

impl Shop {
    #[runner::task]
    fn total(&self) -> u32 {
        1
    }
}

fn main() {}
