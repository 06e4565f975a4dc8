//! Columns for people. It knows no command.

/// Rows under headings, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(&head.map(str::to_owned));
    std::iter::once(head).chain(rows.iter().map(line)).collect::<Vec<_>>().join("\n")
}

/// Names and values below each other.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = facts.iter().map(|(name, value)| format!("{name:width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_and_lines_have_no_tail() {
        let rows = [["standup", "1"], ["a", ""]].map(|row| row.map(str::to_owned));

        assert_eq!(table(["NAME", "N"], &rows), "NAME     N\nstandup  1\na");
        assert_eq!(table(["NAME", "N"], &[]), "NAME  N");
        let told = facts(&[("a", String::from("1")), ("long", String::from("2"))]);
        assert_eq!(told, "a     1\nlong  2");
    }
}
