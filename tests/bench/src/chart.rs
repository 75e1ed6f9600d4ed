//! The results as one SVG picture: a small bar chart a row, the longer bar always the better one.

use std::fmt::Write;

use crate::report::{Results, number};
use crate::rows::Better;

const WIDTH: usize = 860;
const LABEL: usize = 110;
const BAR: usize = 14;
const GAP: usize = 4;
const HEAD: usize = 26;

fn colour(system: &str) -> &'static str {
    match system {
        "safeos" => "#1b6ac9",
        "passthrough" => "#8a94a6",
        "gocryptfs" => "#c98a1b",
        "rclone" => "#7a9c3a",
        _ => "#c5cad3",
    }
}

/// Draws them.
pub fn svg(results: &Results) -> String {
    let block = HEAD + results.systems.len() * (BAR + GAP) + 12;
    let height = 40 + results.rows.len() * block;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"16\">SafeOS and others on the same disk (longer is better)</text>"
    );
    for (at, row) in results.rows.iter().enumerate() {
        let top = 40 + at * block;
        let _ = writeln!(
            out,
            "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{} [{}]</text>",
            top + 16,
            escape(row.title),
            escape(row.unit)
        );
        let goodness = |median: Option<f64>| match (median, row.better) {
            (Some(v), Better::More) => v,
            (Some(v), Better::Less) if v > 0.0 => 1.0 / v,
            _ => 0.0,
        };
        let medians: Vec<Option<f64>> = results.cells[at].iter().map(|c| c.median()).collect();
        let best = medians.iter().map(|m| goodness(*m)).fold(0.0, f64::max);
        for (column, system) in results.systems.iter().enumerate() {
            let y = top + HEAD + column * (BAR + GAP);
            let share = if best > 0.0 {
                goodness(medians[column]) / best
            } else {
                0.0
            };
            let length = (share * (WIDTH - LABEL - 90) as f64).round();
            let said = medians[column].map_or("–".to_owned(), number);
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{system}</text>\
                 <rect x=\"{LABEL}\" y=\"{y}\" width=\"{length}\" height=\"{BAR}\" fill=\"{}\"/>\
                 <text x=\"{}\" y=\"{}\">{said}</text>",
                LABEL - 6,
                y + 11,
                colour(system),
                LABEL as f64 + length + 6.0,
                y + 11,
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rows::row_by_id;

    #[test]
    fn the_better_bar_is_the_longer_one_also_for_times() {
        let rows = vec![row_by_id("sqlite").unwrap()];
        let mut results = Results::new(vec!["safeos", "gocryptfs"], rows, Value::Null);
        results.add("safeos", "sqlite", Ok(0.5));
        results.add("gocryptfs", "sqlite", Ok(1.0));
        let picture = svg(&results);
        assert!(picture.contains("width=\"660\""), "{picture}");
        assert!(picture.contains("width=\"330\""), "{picture}");
    }
}
