//! Places branches, some of which wait for others, in layers from left to right, as Sugiyama, Tagawa and Toda do.
//!
//! A branch is one layer to the right of the last branch that it waits for. An edge that passes a layer has a lane there, which
//! is ordered like a branch, so that no branch covers the edge. The order of a layer avoids crossings, and the heights in it keep
//! edges straight.

use super::block::{Block, Link, edge};
use super::shape::Point;

/// The distance between two branches of a layer.
const BETWEEN: i32 = 16;
/// The height of a lane.
const LANE: i32 = 2;
/// The distance between two layers, at least and at most. Edges bend there, so many edges need more room.
const LAYER_GAP: i32 = 44;
const MOST_GAP: i32 = 96;
/// A difference of heights that is so small that it looks like a mistake.
const NEAR: i32 = 6;
const SWEEPS: usize = 8;

/// A branch or a lane in a layer.
struct Cell {
    /// A branch; `None` for a lane.
    member: Option<usize>,
    above: i32,
    below: i32,
    /// The cells that edges come from; none if they come from where all branches begin.
    before: Vec<usize>,
    after: Vec<usize>,
    /// The height at which edges reach and leave the cell.
    y: i32,
}

/// Places branches between the block where they begin and the block where they come together. For each branch, `after` lists the
/// branches that it waits for, and `links` says how it is reached.
pub(super) fn place(begin: Block, end: Block, mut members: Vec<Block>, after: &[Vec<usize>], links: &[Link]) -> Block {
    let ranks = ranks(after);
    let count = ranks.iter().max().map_or(0, |last| last + 1);
    let (mut cells, mut layers, ends) = cells(&members, after, &ranks, count);
    order(&mut layers, &cells);
    balance(&mut cells, &layers);
    straighten(&mut cells, &layers);

    let widest = layers.iter().map(Vec::len).max().unwrap_or_default();
    let gap = MOST_GAP.min(LAYER_GAP + 4 * i32::try_from(widest).unwrap_or(MOST_GAP));
    let top = cells.iter().map(|cell| cell.y - cell.above).min().unwrap_or_default().min(-begin.anchor);
    let bottom =
        cells.iter().map(|cell| cell.y + cell.below).max().unwrap_or_default().max(begin.height - begin.anchor);
    let anchor = -top;
    let mut placed = Block { width: 0, height: bottom - top, anchor, shapes: Vec::new(), edges: Vec::new() };
    let start = Point { x: begin.width, y: anchor };
    let mut x = begin.width;
    let y = anchor - begin.anchor;
    placed.add(begin, 0, y);

    // Where each cell begins and ends.
    let mut sides = vec![(0, 0); cells.len()];
    for layer in &layers {
        x += gap;
        let width = layer.iter().filter_map(|&cell| Some(members[cells[cell].member?].width)).max().unwrap_or_default();
        layer.iter().for_each(|&cell| sides[cell] = (x, x + width));
        for &cell in layer {
            if let Some(member) = cells[cell].member {
                members[member].widen(width);
            }
        }
        x += width;
    }
    x += gap;
    let finish = Point { x, y: anchor };
    placed.width = x + end.width;
    let y = anchor - end.anchor;
    placed.add(end, x, y);

    let left = |cell: usize| Point { x: sides[cell].0, y: anchor + cells[cell].y };
    let right = |cell: usize| Point { x: sides[cell].1, y: anchor + cells[cell].y };
    // Each edge is followed backwards through its lanes.
    let route = |mut cell: usize, last: Point| {
        let mut points = vec![last];
        while cells[cell].member.is_none() {
            points.extend([right(cell), left(cell)]);
            cell = cells[cell].before[0];
        }
        points.push(right(cell));
        points.reverse();
        points
    };
    let mut edges = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let Some(member) = cell.member else { continue };
        if cell.before.is_empty() {
            edges.push(edge([start, left(index)], links[member], true));
        }
        edges.extend(cell.before.iter().map(|&before| edge(route(before, left(index)), links[member], true)));
    }
    edges.extend(ends.iter().map(|&cell| edge(route(cell, finish), Link::Direct, false)));
    placed.edges.extend(edges);
    for (index, cell) in cells.iter().enumerate() {
        if let Some(member) = cell.member {
            let block = members[member].clone();
            let y = anchor + cell.y - block.anchor;
            placed.add(block, sides[index].0, y);
        }
    }
    placed
}

/// The width that each layer can have if all of them have the same.
pub(super) fn widest(of_all: i32, after: &[Vec<usize>]) -> i32 {
    let count = ranks(after).into_iter().max().map_or(1, |last| last + 1);
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    (of_all - MOST_GAP * (count + 1)) / count
}

/// The layer of each branch, which comes after the layers of all branches that it waits for.
fn ranks(after: &[Vec<usize>]) -> Vec<usize> {
    let mut ranks = vec![0; after.len()];
    // In an invalid description, branches may wait for each other, so the number of rounds is limited.
    for _ in 0..after.len() {
        for member in 0..after.len() {
            let rank = after[member].iter().map(|&other| ranks[other] + 1).max().unwrap_or_default();
            ranks[member] = rank.min(after.len().saturating_sub(1));
        }
    }
    ranks
}

/// The cells, the layers they are in, and the cells from which edges lead to the end.
fn cells(
    members: &[Block],
    after: &[Vec<usize>],
    ranks: &[usize],
    count: usize,
) -> (Vec<Cell>, Vec<Vec<usize>>, Vec<usize>) {
    let mut layers = vec![Vec::new(); count];
    let mut cells = Vec::new();
    for (member, block) in members.iter().enumerate() {
        let (above, below) = (block.anchor, block.height - block.anchor);
        layers[ranks[member]].push(member);
        cells.push(Cell { member: Some(member), above, below, before: Vec::new(), after: Vec::new(), y: 0 });
    }
    // Adds the lanes of an edge up to a layer, and returns the last cell.
    let lanes = |cells: &mut Vec<Cell>, layers: &mut Vec<Vec<usize>>, from: usize, to: usize| {
        let mut last = from;
        for layer in &mut layers[ranks[from] + 1..to] {
            let (index, half) = (cells.len(), LANE / 2);
            cells.push(Cell { member: None, above: half, below: half, before: vec![last], after: Vec::new(), y: 0 });
            cells[last].after.push(index);
            layer.push(index);
            last = index;
        }
        last
    };
    for (member, others) in after.iter().enumerate() {
        for &other in others.iter().filter(|&&other| ranks[other] < ranks[member]) {
            let last = lanes(&mut cells, &mut layers, other, ranks[member]);
            cells[last].after.push(member);
            cells[member].before.push(last);
        }
    }
    let is_end = |member: &usize| !after.iter().any(|others| others.contains(member));
    let ends: Vec<usize> = (0..members.len()).filter(is_end).collect();
    let ends = ends.into_iter().map(|member| lanes(&mut cells, &mut layers, member, count)).collect();
    (cells, layers, ends)
}

/// Orders each layer by the positions of its cells' neighbours, and keeps the order with the fewest crossings.
fn order(layers: &mut [Vec<usize>], cells: &[Cell]) {
    let mut best = (crossings(layers, cells), layers.to_vec());
    for sweep in 0..SWEEPS {
        let forwards = sweep % 2 == 0;
        let indices: Vec<usize> =
            if forwards { (1..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for index in indices {
            let position = positions(layers, cells.len());
            let mean = |cell: usize| {
                let neighbours = if forwards { &cells[cell].before } else { &cells[cell].after };
                let sum: usize = neighbours.iter().map(|&other| position[other] * 100).sum();
                if neighbours.is_empty() { position[cell] * 100 } else { sum / neighbours.len() }
            };
            layers[index].sort_by_key(|&cell| mean(cell));
        }
        let crossings = crossings(layers, cells);
        if crossings < best.0 {
            best = (crossings, layers.to_vec());
        }
    }
    layers.clone_from_slice(&best.1);
}

fn positions(layers: &[Vec<usize>], count: usize) -> Vec<usize> {
    let mut positions = vec![0; count];
    for layer in layers {
        layer.iter().enumerate().for_each(|(position, &cell)| positions[cell] = position);
    }
    positions
}

fn crossings(layers: &[Vec<usize>], cells: &[Cell]) -> usize {
    let position = positions(layers, cells.len());
    let edges = |layer: &Vec<usize>| -> Vec<(usize, usize)> {
        let edges = layer.iter().flat_map(|&cell| cells[cell].before.iter().map(move |&other| (other, cell)));
        edges.map(|(from, to)| (position[from], position[to])).collect()
    };
    let crossing = |edges: &[(usize, usize)]| {
        let pairs =
            edges.iter().enumerate().flat_map(|(index, one)| edges[..index].iter().map(move |other| (one, other)));
        pairs
            .filter(|(one, other)| (one.0 < other.0 && one.1 > other.1) || (one.0 > other.0 && one.1 < other.1))
            .count()
    };
    layers.iter().map(|layer| crossing(&edges(layer))).sum()
}

/// Gives each cell a height near the mean of its neighbours' heights. Height 0 is that of the blocks at both ends.
fn balance(cells: &mut [Cell], layers: &[Vec<usize>]) {
    for sweep in 0..SWEEPS {
        let forwards = sweep % 2 == 0;
        let order: Vec<&Vec<usize>> = if forwards { layers.iter().collect() } else { layers.iter().rev().collect() };
        for layer in order {
            let wanted: Vec<i32> = layer
                .iter()
                .map(|&cell| {
                    let neighbours = if forwards { &cells[cell].before } else { &cells[cell].after };
                    let sum: i32 = neighbours.iter().map(|&other| cells[other].y).sum();
                    sum / i32::try_from(neighbours.len().max(1)).unwrap_or(1)
                })
                .collect();
            let sizes: Vec<(i32, i32)> = layer.iter().map(|&cell| (cells[cell].above, cells[cell].below)).collect();
            for (&cell, y) in layer.iter().zip(spread(&wanted, &sizes)) {
                cells[cell].y = y;
            }
        }
    }
}

/// Moves a layer by a few pixels if that makes an edge to one of its cells straight.
fn straighten(cells: &mut [Cell], layers: &[Vec<usize>]) {
    for layer in layers {
        let nearest = layer.iter().map(|&cell| cells[cell].y).min_by_key(|y| y.abs()).unwrap_or_default();
        if nearest.abs() <= NEAR {
            layer.iter().for_each(|&cell| cells[cell].y -= nearest);
        }
    }
}

/// Returns the heights that are nearest to the wanted ones, so that nothing overlaps and the order stays the same. The sum of the
/// squared distances is minimal (isotonic regression by pooling adjacent violators).
fn spread(wanted: &[i32], sizes: &[(i32, i32)]) -> Vec<i32> {
    // The distance of each from the first if all of them touch.
    let mut offsets = vec![0];
    for pair in sizes.windows(2) {
        offsets.push(offsets[offsets.len() - 1] + pair[0].1 + BETWEEN + pair[1].0);
    }
    // Groups of cells that touch, as the sum of their wanted heights and their number.
    let mut groups: Vec<(i32, i32)> = Vec::new();
    for (want, offset) in wanted.iter().zip(&offsets) {
        groups.push((want - offset, 1));
        while let [.., before, last] = groups.as_slice()
            && before.0 * last.1 > last.0 * before.1
        {
            let merged = (before.0 + last.0, before.1 + last.1);
            groups.truncate(groups.len() - 2);
            groups.push(merged);
        }
    }
    let starts =
        groups.iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / count, usize::try_from(*count).unwrap_or(1)));
    starts.zip(offsets).map(|(start, offset)| start + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_removed_with_the_smallest_moves() {
        let sizes = [(10, 10); 3];
        assert_eq!(spread(&[0, 0, 0], &sizes), [-36, 0, 36]);
        assert_eq!(spread(&[0, 100, 200], &sizes), [0, 100, 200]);
        assert_eq!(spread(&[0, 100, 100], &sizes), [0, 82, 118]);
        assert_eq!(spread(&[], &[]), [0; 0]);
    }

    #[test]
    fn a_branch_comes_after_all_that_it_waits_for() {
        assert_eq!(ranks(&[vec![], vec![0], vec![0, 1], vec![]]), [0, 1, 2, 0]);
        // `build` refuses such a flow, but a description can contain it.
        assert_eq!(ranks(&[vec![1], vec![0]]), [1, 1]);
    }
}
