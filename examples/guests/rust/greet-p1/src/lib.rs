//! The interface of `greet`, on WASI preview 1.
//!
//! The module carries component types and imports `wasi_snapshot_preview1` too: it proves that
//! the host wraps such a module with the preview 1 adapter, and that stdout, the clock, random
//! bytes and the environment reach through it.

wit_bindgen::generate!({ path: "../../wit/demo-greet", world: "greeter-with-wasi" });

use exports::demo::greet::shapes::{self, Problem, Shape};
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> String {
        println!("greeting {name}");
        format!("Hello, {name}!")
    }

    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }

    fn look_around() -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        let random = RandomState::new().hash_one(0);
        let variables = std::env::vars().count();
        let seen = format!("{} s, random {random:016x}, {variables} variables", now.as_secs());
        println!("{seen}");
        seen
    }
}

impl shapes::Guest for Greeter {
    fn area(shape: Shape) -> f64 {
        match shape {
            Shape::Circle(radius) => std::f64::consts::PI * radius * radius,
            Shape::Rectangle(it) => it.width * it.height,
            Shape::Dot | Shape::Polygon(_) => 0.0,
        }
    }

    fn describe(shape: Shape) -> Result<String, Problem> {
        match shape {
            Shape::Circle(radius) => Ok(format!("a circle of radius {radius}")),
            Shape::Rectangle(it) => Ok(format!("a rectangle of {} by {}", it.width, it.height)),
            Shape::Polygon(points) => Ok(format!("a polygon of {} points", points.len())),
            Shape::Dot => Err(Problem::Flat),
        }
    }
}

export!(Greeter);
