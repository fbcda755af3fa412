//! Reads a table out of a page. It relies on how the pages are written: each `<`, `>` and `"` of a text or an attribute is
//! escaped.

/// A table of a page.
pub(crate) struct Table {
    /// The texts of the headers.
    pub(crate) headers: Vec<String>,
    /// The cells of each row, as HTML.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns the table with this id.
    pub(crate) fn read(page: &str, id: &str) -> Table {
        let start = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no table {id} in\n{page}"));
        let table = &page[start..];
        let table = &table[..table.find("</table>").unwrap()];
        let mut rows: Vec<Vec<String>> = table.split("<tr").skip(1).map(cells).collect();
        let headers = rows.remove(0).iter().map(|cell| text(cell)).collect();
        Table { headers, rows }
    }
}

/// Returns the cells of a row.
fn cells(row: &str) -> Vec<String> {
    let starts: Vec<usize> =
        ["<td", "<th"].iter().flat_map(|tag| row.match_indices(tag).map(|(start, _)| start)).collect();
    let mut starts: Vec<usize> = starts.into_iter().filter(|start| !row[*start..].starts_with("<thead")).collect();
    starts.sort_unstable();
    let ends = starts.iter().skip(1).copied().chain([row.len()]);
    starts.iter().zip(ends).map(|(start, end)| row[*start..end].to_owned()).collect()
}

/// Returns the text of a cell.
fn text(cell: &str) -> String {
    let texts = cell.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
    unescape(texts.collect::<String>().trim())
}

/// Returns the first attribute of this name.
pub(crate) fn attribute(html: &str, name: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!(" {name}=\""))?;
    Some(unescape(rest.split_once('"')?.0))
}

/// Returns all attributes of this name.
pub(crate) fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    let parts = html.split(&start).skip(1);
    parts.filter_map(|part| part.split_once('"')).map(|(value, _)| unescape(value)).collect()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
