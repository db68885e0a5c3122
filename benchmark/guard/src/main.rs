//! The hot paths of the core as figures that do not depend on how fast the machine is: what a batch allocates, how many
//! system calls it takes, and how long it takes against a reference that is measured beside it.
//!
//! Started by `benchmark/guard/run.ts`. Prints one line of JSON: names of `limits.ts`, and their figures.

mod allocations;
mod link;
mod pair;
mod prescan;
mod reference;
mod route;
mod system_calls;
mod time;

use std::error::Error;

/// What goes wrong here ends the process, and the guard shows the text.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// A name of `limits.ts` and what was measured.
type Figure = (&'static str, f64);

fn main() -> Outcome<()> {
    let mut figures = prescan::figures()?;
    figures.extend(route::figures()?);
    figures.extend(link::figures()?);
    let members: Vec<String> = figures.iter().map(|(name, value)| format!("\"{name}\":{value:.4}")).collect();
    println!("{{{}}}", members.join(","));
    Ok(())
}
