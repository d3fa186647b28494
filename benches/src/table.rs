//! Tables for people, rows for programs.

use std::fmt;

use serde::Serialize;

/// A figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The floor, measured in the same run, if there is one. For a ratio, the value that means equal.
    pub(crate) floor: Option<f64>,
    /// The number of measurements behind the figure.
    pub(crate) samples: usize,
}

/// A table as printed. The first column is aligned to the left, the others to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) heads: Vec<String>,
    pub(crate) lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Table {
        Table { heads: heads.iter().map(|&head| head.to_owned()).collect(), lines: Vec::new() }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.heads).chain(&self.lines);
        let widths: Vec<usize> = (0..self.heads.len())
            .map(|column| lines().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        for line in lines() {
            let mut text = format!("{:<width$}", line[0], width = widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                text.push_str(&format!("  {cell:>width$}"));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A number of bytes, as shown in tables.
pub(crate) fn bytes(count: usize) -> String {
    match count {
        0..1000 => format!("{count} B"),
        1000..1_000_000 => format!("{} kB", count / 1000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

/// The result of a measurement.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) tables: Vec<Table>,
    /// Lines below the tables: how the figures were obtained, and how noisy the run was.
    pub(crate) notes: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        writeln!(f)?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_separated_by_one_empty_line() {
        let table = || Table {
            heads: vec!["a".to_owned(), "bb".to_owned()],
            lines: vec![vec!["1".to_owned(), "2".to_owned()]],
        };
        let report = Report {
            title: "title".to_owned(),
            tables: vec![table(), table()],
            notes: vec!["note".to_owned()],
            rows: Vec::new(),
        };
        assert_eq!(report.to_string(), "title\n\na  bb\n1   2\n\na  bb\n1   2\n\nnote\n");
    }
}
