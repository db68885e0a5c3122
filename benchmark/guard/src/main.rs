//! The hot paths of the core as figures that do not depend on the machine: what a batch allocates, how many system calls
//! it takes, and, under callgrind, how many instructions.
//!
//! Started by `benchmark/guard/run.ts`. Prints one line of JSON: names of `limits.ts`, and their figures. Those of
//! instructions are in the file that callgrind writes, each in a part of its own with its name and how many runs it is
//! the sum of.

mod allocations;
mod instructions;
mod link;
mod pair;
mod prescan;
mod route;
mod system_calls;

use std::error::Error;

/// What goes wrong here ends the process, and the guard shows the text.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// A name of `limits.ts` and what was measured.
type Figure = (&'static str, f64);

fn main() -> Outcome<()> {
    let mut figures = vec![prescan::figure()?, route::figure()?];
    figures.extend(link::figures()?);
    let members: Vec<String> = figures.iter().map(|(name, value)| format!("\"{name}\":{value:.4}")).collect();
    println!("{{{}}}", members.join(","));
    Ok(())
}
