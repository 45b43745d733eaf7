//! Reading a committed bundle in the form that it is stored and served in.

mod committed_rows;
pub(in crate::sync) mod replay;

pub(in crate::sync) use self::committed_rows::ReadGroups;
pub use self::committed_rows::{CommittedRows, CommittedRowsError, CommittedRowsQuery};

/// Rows of a bundle as they are stored: objects joined by a comma and a line feed, which occurs nowhere inside them.
const ROW_SEPARATOR: &str = ",\n";

/// `take` rows of `body` after the first `skip`, with their separators; all there are if there are fewer.
pub(in crate::sync) fn slice_rows(body: &str, skip: usize, take: usize) -> &str {
    let cut = |text: &str, rows: usize| match rows {
        0 => 0,
        rows => text.match_indices(ROW_SEPARATOR).nth(rows - 1).map_or(text.len(), |(at, _)| at),
    };
    let skipped = cut(body, skip);
    let rest = &body[skipped..];
    let rest = rest.strip_prefix(ROW_SEPARATOR).unwrap_or(rest);
    &rest[..cut(rest, take)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_at_their_separators() {
        let body = "{\"a\":\",\"},\n{},\n{\"b\":1}";
        assert_eq!(slice_rows(body, 0, 10), body);
        assert_eq!(slice_rows(body, 0, 1), "{\"a\":\",\"}");
        assert_eq!(slice_rows(body, 1, 1), "{}");
        assert_eq!(slice_rows(body, 1, 2), "{},\n{\"b\":1}");
        assert_eq!(slice_rows(body, 2, 1), "{\"b\":1}");
        assert_eq!(slice_rows(body, 3, 1), "");
        assert_eq!(slice_rows(body, 0, 0), "");
    }
}
