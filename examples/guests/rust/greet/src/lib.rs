//! Strings, numbers, records and variants without any WASI.
//!
//! Built for wasm32-unknown-unknown this is a core module that carries its component types in
//! a custom section: what `cargo build` makes of a guest on the SDK. It proves that the host
//! wraps such a module by itself.

wit_bindgen::generate!({ path: "../../wit/demo-greet", world: "greeter" });

use exports::demo::greet::shapes::{self, Point, Problem, Shape};
use std::f64::consts::PI;

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }

    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
}

impl shapes::Guest for Greeter {
    fn area(shape: Shape) -> f64 {
        match shape {
            Shape::Dot => 0.0,
            Shape::Circle(radius) => PI * radius * radius,
            Shape::Rectangle(it) => it.width * it.height,
            Shape::Polygon(points) => polygon_area(&points),
        }
    }

    fn describe(shape: Shape) -> Result<String, Problem> {
        let length = |l: f64| {
            if l >= 0.0 { Ok(l) } else { Err(Problem::BadLength(l)) }
        };
        match shape {
            Shape::Dot => Err(Problem::Flat),
            Shape::Circle(radius) => Ok(format!("a circle of radius {}", length(radius)?)),
            Shape::Rectangle(it) => Ok(format!(
                "a rectangle of {} by {} at ({}, {})",
                length(it.width)?,
                length(it.height)?,
                it.origin.x,
                it.origin.y
            )),
            Shape::Polygon(points) if points.len() < 3 => Err(Problem::TooFewPoints(points.len() as u32)),
            Shape::Polygon(points) => Ok(format!("a polygon of {} points", points.len())),
        }
    }
}

/// The shoelace formula.
fn polygon_area(points: &[Point]) -> f64 {
    let next = points.iter().cycle().skip(1);
    let twice: f64 = points.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum();
    twice.abs() / 2.0
}

export!(Greeter);
