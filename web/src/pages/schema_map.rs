//! An app's tables and their foreign keys as a picture: boxes in layers, parents to the left of their children.

use std::collections::{BTreeSet, HashMap};

use askama::Template;

use super::tables::TableShape;
use crate::{
    links,
    shell::{Area, Shell},
};

/// The picture, and the same in words.
#[derive(Debug, Template)]
#[template(path = "schema/map.html")]
pub struct SchemaMapPage {
    pub shell: Shell,
    pub map: SchemaMap,
}

/// Where everything of the picture stands, in pixels.
#[derive(Debug, Clone, Default)]
pub struct SchemaMap {
    width: usize,
    height: usize,
    boxes: Vec<TableBox>,
    arrows: Vec<Arrow>,
}

#[derive(Debug, Clone)]
struct TableBox {
    name: String,
    x: usize,
    y: usize,
    width: usize,
    height: usize,
    lines: Vec<Line>,
}

/// A column that takes part in keys, or the number of those that do not.
#[derive(Debug, Clone)]
struct Line {
    text: String,
    /// Of the text's base line.
    y: usize,
    is_key: bool,
    is_rest: bool,
}

/// A foreign key.
#[derive(Debug, Clone)]
struct Arrow {
    from: String,
    column: String,
    to: String,
    path: String,
}

const HEAD: usize = 32;
const LINE: usize = 20;
const PAD: usize = 12;
const GAP_X: usize = 96;
const GAP_Y: usize = 24;
const MARGIN: usize = 16;
/// Room on the right for arrows that turn back.
const TURN: usize = 56;
/// Width of a character of the fixed-width font.
const CHAR: usize = 8;
const MAX_CHARS: usize = 28;
/// Foreign keys of one table that get a line of their own.
const MAX_KEYS: usize = 12;
/// Tables without any foreign key stand below the others, so many side by side.
const LOOSE: usize = 5;

impl SchemaMap {
    /// The picture of these tables.
    pub fn of(tables: &[TableShape]) -> Self {
        let parents = parents(tables);
        let mut layers = layers(&parents);
        for _ in 0..4 {
            order(&mut layers, &parents);
        }
        let mut map = Self::default();
        let mut places: HashMap<usize, usize> = HashMap::new();
        map.place_layers(tables, &layers, &mut places);
        map.place_loose(tables, &mut places);
        map.draw_arrows(tables, &places);
        map.width = map.boxes.iter().map(|it| it.x + it.width).max().unwrap_or(0) + TURN;
        map.height = map.boxes.iter().map(|it| it.y + it.height).max().unwrap_or(0) + MARGIN;
        map
    }

    fn place_layers(
        &mut self,
        tables: &[TableShape],
        layers: &[Vec<usize>],
        places: &mut HashMap<usize, usize>,
    ) {
        let mut x = MARGIN;
        for layer in layers {
            let width = layer.iter().map(|&i| box_width(&tables[i])).max().unwrap_or(0);
            let mut y = MARGIN;
            for &i in layer {
                places.insert(i, self.boxes.len());
                self.boxes.push(table_box(&tables[i], x, y, width));
                y += box_height(&tables[i]) + GAP_Y;
            }
            x += width + GAP_X;
        }
    }

    /// Tables that neither refer nor are referred to.
    fn place_loose(&mut self, tables: &[TableShape], places: &mut HashMap<usize, usize>) {
        let loose: Vec<usize> = (0..tables.len()).filter(|i| !places.contains_key(i)).collect();
        let mut y = self.boxes.iter().map(|it| it.y + it.height + GAP_Y).max().unwrap_or(MARGIN);
        for row in loose.chunks(LOOSE) {
            let mut x = MARGIN;
            for &i in row {
                places.insert(i, self.boxes.len());
                let width = box_width(&tables[i]);
                self.boxes.push(table_box(&tables[i], x, y, width));
                x += width + GAP_Y;
            }
            y += row.iter().map(|&i| box_height(&tables[i])).max().unwrap_or(0) + GAP_Y;
        }
    }

    fn draw_arrows(&mut self, tables: &[TableShape], places: &HashMap<usize, usize>) {
        // Arrows at one box arrive side by side.
        let mut arrived: HashMap<usize, usize> = HashMap::new();
        for (i, table) in tables.iter().enumerate() {
            for (n, (column, parent)) in references(table).enumerate() {
                let Some(j) = tables.iter().position(|it| it.name == parent) else { continue };
                let (from, to) = (&self.boxes[places[&i]], &self.boxes[places[&j]]);
                let arrivals = arrived.entry(j).or_default();
                let spread = (*arrivals % 5) * 5;
                *arrivals += 1;
                // The key has the first line.
                let from_y = from.y + HEAD + LINE * (1 + n.min(MAX_KEYS)) + LINE / 2;
                let path = arrow_path(from, from_y.min(from.y + from.height - 6), to, to.y + 6 + spread);
                let (from, column) = (table.name.clone(), column.to_owned());
                self.arrows.push(Arrow { from, column, to: parent.to_owned(), path });
            }
        }
    }

    fn count(&self) -> (usize, usize) {
        (self.boxes.len(), self.arrows.len())
    }

    /// `4 tables, 5 foreign keys.`
    fn sentence(&self) -> String {
        let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let (tables, keys) = self.count();
        format!("{}, {}.", counted(tables, "table"), counted(keys, "foreign key"))
    }
}

impl TableBox {
    fn title(&self) -> String {
        cut(&self.name)
    }
}

/// A curve from the line of a column to the head of a table.
fn arrow_path(from: &TableBox, from_y: usize, to: &TableBox, to_y: usize) -> String {
    let (left, right, bend) = (from.x, from.x + from.width, GAP_X / 2);
    let (to_left, to_right) = (to.x, to.x + to.width);
    if to_right < left {
        format!("M{left} {from_y}C{} {from_y} {} {to_y} {to_right} {to_y}", left - bend, to_right + bend)
    } else if right < to_left {
        format!("M{right} {from_y}C{} {from_y} {} {to_y} {to_left} {to_y}", right + bend, to_left - bend)
    } else {
        let turn = right.max(to_right) + TURN - 12;
        format!("M{right} {from_y}C{turn} {from_y} {turn} {to_y} {to_right} {to_y}")
    }
}

fn references(table: &TableShape) -> impl Iterator<Item = (&str, &str)> {
    table.columns.iter().filter_map(|column| {
        column.reference.as_ref().map(|reference| (column.name.as_str(), reference.table.as_str()))
    })
}

/// For each table the places of the tables that it refers to, itself left out.
fn parents(tables: &[TableShape]) -> Vec<BTreeSet<usize>> {
    let place: HashMap<&str, usize> =
        tables.iter().enumerate().map(|(i, table)| (table.name.as_str(), i)).collect();
    tables
        .iter()
        .enumerate()
        .map(|(i, table)| {
            references(table).filter_map(|(_, name)| place.get(name).copied()).filter(|j| *j != i).collect()
        })
        .collect()
}

/// Tables by the length of the longest way to a table without parents; of a circle the last step is not counted. Tables
/// without any foreign key are in none.
fn layers(parents: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    fn depth(i: usize, parents: &[BTreeSet<usize>], known: &mut [Option<usize>], open: &mut [bool]) -> usize {
        if let Some(depth) = known[i] {
            return depth;
        }
        open[i] = true;
        let mut deepest = 0;
        for &parent in &parents[i] {
            if !open[parent] {
                deepest = deepest.max(1 + depth(parent, parents, known, open));
            }
        }
        open[i] = false;
        known[i] = Some(deepest);
        deepest
    }
    let (mut known, mut open) = (vec![None; parents.len()], vec![false; parents.len()]);
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for i in 0..parents.len() {
        let is_parent = parents.iter().any(|of| of.contains(&i));
        if parents[i].is_empty() && !is_parent {
            continue;
        }
        let depth = depth(i, parents, &mut known, &mut open);
        while layers.len() <= depth {
            layers.push(Vec::new());
        }
        layers[depth].push(i);
    }
    layers
}

/// Move tables towards those that they are connected with.
fn order(layers: &mut [Vec<usize>], parents: &[BTreeSet<usize>]) {
    for l in 0..layers.len() {
        let mut place: HashMap<usize, f64> = HashMap::new();
        for layer in layers.iter() {
            for (n, &i) in layer.iter().enumerate() {
                place.insert(i, (n as f64 + 0.5) / layer.len() as f64);
            }
        }
        let pull = |i: usize| {
            let near = (0..parents.len()).filter(|&j| parents[i].contains(&j) || parents[j].contains(&i));
            let near: Vec<f64> = near.filter_map(|j| place.get(&j).copied()).collect();
            if near.is_empty() { place[&i] } else { near.iter().sum::<f64>() / near.len() as f64 }
        };
        layers[l].sort_by(|&a, &b| pull(a).total_cmp(&pull(b)));
    }
}

fn lines(table: &TableShape) -> Vec<Line> {
    let shown = |text: String, is_key, is_rest| Line { text: cut(&text), y: 0, is_key, is_rest };
    let is_shown = |column: &&super::tables::ColumnShape| column.is_key || column.reference.is_some();
    let key = table.columns.iter().filter(|column| column.is_key);
    let mut lines: Vec<Line> = key.map(|column| shown(column.name.clone(), true, false)).collect();
    let keys = table.columns.iter().filter(|column| column.reference.is_some()).take(MAX_KEYS);
    lines.extend(keys.map(|column| shown(column.name.clone(), false, false)));
    let named = table.columns.iter().filter(is_shown).count().min(lines.len());
    let rest = table.columns.len().saturating_sub(named);
    if rest > 0 {
        let what = if rest == 1 { "column" } else { "columns" };
        lines.push(shown(format!("{rest} more {what}"), false, true));
    }
    lines
}

fn box_height(table: &TableShape) -> usize {
    HEAD + lines(table).len() * LINE + PAD
}

fn box_width(table: &TableShape) -> usize {
    let longest = lines(table).iter().map(|line| line.text.chars().count()).max().unwrap_or(0);
    let chars = longest.max(cut(&table.name).chars().count() + 1).max(14);
    chars * CHAR + 2 * PAD
}

fn table_box(table: &TableShape, x: usize, y: usize, width: usize) -> TableBox {
    let mut lines = lines(table);
    for (n, line) in lines.iter_mut().enumerate() {
        line.y = y + HEAD + LINE * n + 16;
    }
    TableBox { name: table.name.clone(), x, y, width, height: box_height(table), lines }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::tables::{ColumnShape, ForeignKey};

    fn table(name: &str, parents: &[&str]) -> TableShape {
        let column = |name: String, reference: Option<&str>| ColumnShape {
            name,
            reference: reference.map(|table| ForeignKey { table: table.to_owned(), on_delete: None }),
            ..ColumnShape::default()
        };
        let mut columns = vec![ColumnShape { is_key: true, ..column("id".to_owned(), None) }];
        columns.extend(parents.iter().map(|parent| column(format!("{parent}_id"), Some(parent))));
        TableShape { name: name.to_owned(), columns, ..TableShape::default() }
    }

    fn overlap(a: &TableBox, b: &TableBox) -> bool {
        a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
    }

    #[test]
    fn parents_stand_left_of_their_children_and_no_boxes_overlap() {
        let mut tables =
            vec![table("a", &[]), table("b", &["a"]), table("c", &["b", "a"]), table("loose", &[])];
        // A circle of three, a self-reference, and a crowd.
        tables.extend([table("x", &["z"]), table("y", &["x", "y"]), table("z", &["y"])]);
        tables.extend((0..40).map(|n| table(&format!("t{n}"), if n % 3 == 0 { &["a"] } else { &[] })));
        let map = SchemaMap::of(&tables);
        assert_eq!(map.count(), (47, 1 + 2 + 4 + 14));
        let find = |name: &str| map.boxes.iter().find(|it| it.name == name).unwrap();
        assert!(find("a").x + find("a").width < find("b").x && find("b").x < find("c").x);
        for (i, a) in map.boxes.iter().enumerate() {
            assert!(a.x + a.width <= map.width && a.y + a.height <= map.height);
            for b in &map.boxes[i + 1..] {
                assert!(!overlap(a, b), "{} and {}", a.name, b.name);
            }
        }
    }

    #[test]
    fn nothing_makes_an_empty_picture() {
        assert_eq!(SchemaMap::of(&[]).count(), (0, 0));
    }
}
