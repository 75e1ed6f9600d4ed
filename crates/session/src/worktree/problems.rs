//! Failures in the background or on damaged files, for `status`.

use std::collections::VecDeque;

use crate::lock::Mutex;
use safeos_record::Address;

/// How many are kept.
const PROBLEMS_MAX: usize = 100;

/// The newest problems, oldest first, each once.
#[derive(Default)]
pub(crate) struct Problems(Mutex<VecDeque<Problem>>);

#[derive(PartialEq)]
struct Problem {
    text: String,
    /// Whether it concerns records that cannot be read, which may come back.
    damage: bool,
}

impl Problems {
    pub(crate) fn add(&self, text: String) {
        let damage = false;
        self.put(Problem { text, damage });
    }

    /// Something cannot be read; the text names the record.
    pub(crate) fn add_damage(&self, text: String) {
        let damage = true;
        self.put(Problem { text, damage });
    }

    fn put(&self, problem: Problem) {
        let mut problems = self.0.lock();
        if problems.contains(&problem) {
            return;
        }
        if problems.len() == PROBLEMS_MAX {
            problems.pop_front();
        }
        problems.push_back(problem);
    }

    /// Takes back the problems that start so: they are over.
    pub(crate) fn solved(&self, start: &str) {
        self.0
            .lock()
            .retain(|problem| !problem.text.starts_with(start));
    }

    /// Takes back what was told of the damage of these records: they are whole again.
    pub(crate) fn whole_again(&self, records: &[Address]) {
        for record in records {
            let name = record.to_string();
            self.0
                .lock()
                .retain(|problem| !problem.damage || !problem.text.contains(&name));
        }
    }

    pub(crate) fn list(&self) -> Vec<String> {
        let problems = self.0.lock();
        problems
            .iter()
            .map(|problem| problem.text.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_taken_back_and_nothing_else() {
        let problems = Problems::default();
        let (one, two) = (Address([1; 32]), Address([2; 32]));
        problems.add_damage(format!("a: Chunk {one} is damaged"));
        problems.add_damage(format!("b: Chunk {one} is missing"));
        problems.add_damage(format!("c: Chunk {two} is damaged"));
        problems.add(format!("not brought back after the crash: Chunk {one}"));
        problems.add("publishing: it is away".into());
        problems.whole_again(&[one]);
        assert_eq!(problems.list().len(), 3);
        problems.solved("publishing");
        problems.whole_again(&[one, two]);
        assert_eq!(problems.list().len(), 1);
        assert!(problems.list()[0].starts_with("not brought back"));
    }
}
