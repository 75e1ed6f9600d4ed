//! The results as a table for people and as JSON for programs.

use serde_json::{Map, Value, json};

use crate::rows::{Better, Row};

/// One measured cell: the values of the repeats, or why there are none.
#[derive(Clone, Default)]
pub struct Cell {
    /// One value a repeat.
    pub values: Vec<f64>,
    /// The first error met.
    pub error: Option<String>,
}

impl Cell {
    /// The median of the repeats; none if any of them failed.
    pub fn median(&self) -> Option<f64> {
        if self.error.is_some() || self.values.is_empty() {
            return None;
        }
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        Some(if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        })
    }
}

/// A figure of a home: not compared with other systems but with a goal.
pub struct Figure {
    /// Its name in JSON.
    pub id: &'static str,
    /// Its name in the table.
    pub title: String,
    /// The value, or why there is none.
    pub value: Result<f64, String>,
    /// Its unit.
    pub unit: &'static str,
    /// The goal as people read it, empty when there is none.
    pub goal: String,
    /// Whether the goal is met, when there is one and a value.
    pub met: Option<bool>,
}

/// Everything of one run.
pub struct Results {
    /// The systems measured.
    pub systems: Vec<&'static str>,
    /// Why a system was not measured at all.
    pub missing: Vec<(&'static str, String)>,
    /// The rows measured.
    pub rows: Vec<&'static Row>,
    /// Cells by row and system.
    pub cells: Vec<Vec<Cell>>,
    /// Figures of homes.
    pub figures: Vec<Figure>,
    /// The settings: repeats, sizes, whether caches could be dropped.
    pub settings: Value,
}

impl Results {
    /// Nothing measured yet.
    pub fn new(systems: Vec<&'static str>, rows: Vec<&'static Row>, settings: Value) -> Self {
        let cells = vec![vec![Cell::default(); systems.len()]; rows.len()];
        Self {
            systems,
            missing: Vec::new(),
            rows,
            cells,
            figures: Vec::new(),
            settings,
        }
    }

    /// Adds one value.
    pub fn add(&mut self, system: &str, row: &str, value: Result<f64, String>) {
        let at = (
            self.rows.iter().position(|r| r.id == row),
            self.systems.iter().position(|s| *s == system),
        );
        let (Some(row), Some(system)) = at else {
            return;
        };
        let cell = &mut self.cells[row][system];
        match value {
            Ok(value) => cell.values.push(value),
            Err(error) => {
                cell.error.get_or_insert(error);
            }
        }
    }

    fn median(&self, row: usize, system: &str) -> Option<f64> {
        let system = self.systems.iter().position(|s| *s == system)?;
        self.cells[row][system].median()
    }

    /// How much better `system` is than `other` in a row: above 1 is better, whatever the unit.
    pub fn ratio(&self, row: usize, system: &str, other: &str) -> Option<f64> {
        let (a, b) = (self.median(row, system)?, self.median(row, other)?);
        match self.rows[row].better {
            Better::More if b > 0.0 => Some(a / b),
            Better::Less if a > 0.0 => Some(b / a),
            _ => None,
        }
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut head = vec!["row".to_owned(), "unit".to_owned()];
        head.extend(self.systems.iter().map(|s| (*s).to_owned()));
        let others = [
            "passthrough",
            "gocryptfs",
            "curl",
            "sshfs+gocryptfs",
            "rclone",
        ];
        let compared: Vec<&str> = others
            .into_iter()
            .filter(|o| self.systems.contains(o) && self.systems.contains(&"safeos"))
            .collect();
        head.extend(compared.iter().map(|o| format!("vs {o}")));
        let mut lines = vec![head];
        for (at, row) in self.rows.iter().enumerate() {
            let mut line = vec![row.title.to_owned(), row.unit.to_owned()];
            for (column, system) in self.systems.iter().enumerate() {
                line.push(self.cell_text(at, column, system));
            }
            for other in &compared {
                let ratio = self.ratio(at, "safeos", other);
                line.push(ratio.map_or("–".into(), |r| format!("{r:.2}×")));
            }
            lines.push(line);
        }
        let mut out = String::new();
        if !self.rows.is_empty() {
            out += &align(&lines);
            out += "\nratios: how many times better SafeOS is (above 1 is ahead)\n";
        }
        for (row, cells) in self.rows.iter().zip(&self.cells) {
            for (system, cell) in self.systems.iter().zip(cells) {
                let known = self.missing.iter().any(|(name, _)| name == system);
                if let (Some(error), false) = (&cell.error, known) {
                    out += &format!("{system} fails in {}: {error}\n", row.id);
                }
            }
        }
        for (system, why) in &self.missing {
            out += &format!("{system}: {why}\n");
        }
        if !self.figures.is_empty() {
            let mut lines = vec![
                ["a home", "", "unit", "goal", ""]
                    .map(str::to_owned)
                    .to_vec(),
            ];
            for f in &self.figures {
                lines.push(vec![
                    f.title.clone(),
                    f.value.as_ref().map_or("fails".into(), |v| number(*v)),
                    f.unit.to_owned(),
                    f.goal.clone(),
                    f.met
                        .map_or("", |met| if met { "met" } else { "MISSED" })
                        .to_owned(),
                ]);
            }
            out += "\n";
            out += &align(&lines);
            for f in &self.figures {
                if let Err(e) = &f.value {
                    out += &format!("{}: {e}\n", f.id);
                }
            }
        }
        out
    }

    fn cell_text(&self, row: usize, column: usize, system: &str) -> String {
        if let Some((_, why)) = self.missing.iter().find(|(name, _)| *name == system) {
            return if why == "not installed" {
                why.clone()
            } else {
                "–".into()
            };
        }
        let cell = &self.cells[row][column];
        match (cell.median(), &cell.error) {
            (Some(value), _) => number(value),
            (None, Some(_)) => "fails".into(),
            (None, None) => "–".into(),
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let mut rows = Map::new();
        for (at, row) in self.rows.iter().enumerate() {
            let mut systems = Map::new();
            for (system, cell) in self.systems.iter().zip(&self.cells[at]) {
                systems.insert(
                    (*system).to_owned(),
                    json!({"median": cell.median(), "values": cell.values, "error": cell.error}),
                );
            }
            let mut ratios = Map::new();
            for other in self.systems.iter().filter(|other| **other != "safeos") {
                if let Some(ratio) = self.ratio(at, "safeos", other) {
                    ratios.insert((*other).to_owned(), json!(ratio));
                }
            }
            rows.insert(
                row.id.to_owned(),
                json!({
                    "title": row.title,
                    "unit": row.unit,
                    "better": match row.better { Better::More => "more", Better::Less => "less" },
                    "systems": systems,
                    "safeos_better_than": ratios,
                }),
            );
        }
        let mut figures = Map::new();
        for f in &self.figures {
            figures.insert(
                f.id.to_owned(),
                json!({
                    "title": f.title,
                    "value": f.value.as_ref().ok(),
                    "error": f.value.as_ref().err(),
                    "unit": f.unit,
                    "goal": f.goal,
                    "met": f.met,
                }),
            );
        }
        let missing: Map<String, Value> = self
            .missing
            .iter()
            .map(|(name, why)| ((*name).to_owned(), json!(why)))
            .collect();
        json!({
            "settings": self.settings,
            "not_measured": missing,
            "rows": rows,
            "home": figures,
        })
    }
}

/// A number with about three digits that mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => {
            let digits = format!("{:.0}", value);
            let mut out = String::new();
            for (at, c) in digits.chars().enumerate() {
                let left = digits.len() - at;
                if at > 0 && left % 3 == 0 && c.is_ascii_digit() && !out.ends_with('-') {
                    out.push(',');
                }
                out.push(c);
            }
            out
        }
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let fill = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            out += &match column {
                0 => format!("{cell}{fill}"),
                _ => format!("  {fill}{cell}"),
            };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        if at == 0 {
            out += &"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::row_by_id;

    #[test]
    fn the_median_of_an_even_number_of_repeats_lies_between_the_middle_two() {
        let cell = Cell {
            values: vec![4.0, 1.0, 2.0, 30.0],
            error: None,
        };
        assert_eq!(cell.median(), Some(3.0));
    }

    #[test]
    fn a_ratio_above_one_is_better_for_rates_and_for_times() {
        let rows = vec![row_by_id("write").unwrap(), row_by_id("sqlite").unwrap()];
        let mut results = Results::new(vec!["safeos", "gocryptfs"], rows, Value::Null);
        results.add("safeos", "write", Ok(600.0));
        results.add("gocryptfs", "write", Ok(300.0));
        results.add("safeos", "sqlite", Ok(0.5));
        results.add("gocryptfs", "sqlite", Ok(1.0));
        assert_eq!(results.ratio(0, "safeos", "gocryptfs"), Some(2.0));
        assert_eq!(results.ratio(1, "safeos", "gocryptfs"), Some(2.0));
    }

    #[test]
    fn a_failed_repeat_makes_the_cell_fail_and_is_named() {
        let rows = vec![row_by_id("untar").unwrap()];
        let mut results = Results::new(vec!["rclone"], rows, Value::Null);
        results.add("rclone", "untar", Ok(1.0));
        results.add("rclone", "untar", Err("no links".into()));
        let table = results.table();
        assert!(table.contains("fails"), "{table}");
        assert!(table.contains("rclone fails in untar: no links"), "{table}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(1234567.0), "1,234,567");
        assert_eq!(number(812.6), "813");
        assert_eq!(number(0.4567), "0.457");
    }
}
