//! A line of standard input: a work, and its numbers.

use std::collections::HashMap;

use crate::Outcome;

/// What the harness asks for.
pub struct Order {
    /// `W1` and so on.
    pub work: String,
    numbers: HashMap<String, usize>,
    /// The processes whose CPU time counts.
    pub pids: Vec<u32>,
}

impl Order {
    /// Reads a line `work name=value …`.
    pub fn parse(line: &str) -> Outcome<Self> {
        let mut words = line.split_whitespace();
        let work = words.next().ok_or("an empty order")?.to_owned();
        let (mut numbers, mut pids) = (HashMap::new(), Vec::new());
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            if name == "pids" {
                pids = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            } else {
                numbers.insert(name.to_owned(), value.parse()?);
            }
        }
        Ok(Self { work, numbers, pids })
    }

    /// A number that the work cannot do without.
    pub fn number(&self, name: &str) -> Outcome<usize> {
        Ok(*self.numbers.get(name).ok_or_else(|| format!("{} needs {name}", self.work))?)
    }
}
