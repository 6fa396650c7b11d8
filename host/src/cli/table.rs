//! Tables for people, aligned to the right.

/// Rows of text under a header, each column as wide as its widest cell.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(ToString::to_string).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, &w)| format!("{cell:>w$}")).collect();
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", cells.join("   "))?;
            if number == 0 {
                let total = widths.iter().sum::<usize>() + 3 * columns.saturating_sub(1);
                write!(f, "\n{}", "─".repeat(total))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["n", "jaccard"]);
        table.row(vec!["20".into(), "0.5".into()]);
        assert_eq!(table.to_string(), " n   jaccard\n────────────\n20       0.5");
    }
}
