//! The combinations of a matrix.

use std::collections::BTreeMap;

use crate::Scalar;
use crate::pipeline::Matrix;

/// The most combinations one matrix may have: each becomes a Job and an entry in the run's status, which has to stay
/// within an object's size.
pub const MAX_COMBINATIONS: usize = 1000;

/// One combination: a value for each axis.
pub type Combination = BTreeMap<String, Scalar>;

/// How many combinations the axes alone have, without building them.
pub fn product(matrix: &Matrix) -> usize {
    if matrix.axes.is_empty() {
        return 0;
    }
    matrix
        .axes
        .values()
        .fold(1, |product, values| product.saturating_mul(values.len()))
}

/// All combinations, in the order of the axes' names and of their values as written; then those included.
///
/// `exclude` takes out combinations that agree with it on all its axes. An `include` that agrees with existing
/// combinations on every axis they share adds its further values to those; otherwise it is a combination of its own.
/// At most [`MAX_COMBINATIONS`] are built; the kind's rules refuse a matrix with more.
pub fn expand(matrix: &Matrix) -> Vec<Combination> {
    if product(matrix) > MAX_COMBINATIONS {
        return Vec::new();
    }
    let mut all: Vec<Combination> = if matrix.axes.is_empty() {
        Vec::new()
    } else {
        vec![Combination::new()]
    };
    for (axis, values) in &matrix.axes {
        all = all
            .iter()
            .flat_map(|partial| values.iter().map(move |value| with(partial, axis, value)))
            .collect();
    }
    all.retain(|combination| {
        !matrix
            .exclude
            .iter()
            .any(|out| !out.is_empty() && agrees(combination, out))
    });
    let crossed = all.len();
    for extra in &matrix.include {
        let axes: Vec<_> = extra.keys().filter(|key| matrix.axes.contains_key(*key)).collect();
        let mut extended = false;
        for combination in all[..crossed]
            .iter_mut()
            .filter(|c| axes.iter().all(|key| c.get(*key) == extra.get(*key)))
        {
            combination.extend(extra.iter().map(|(key, value)| (key.clone(), value.clone())));
            extended = true;
        }
        if !extended && all.len() < MAX_COMBINATIONS {
            all.push(extra.clone());
        }
    }
    all
}

/// How people call a combination: its values in the order of the axes' names, `linux, 1.2`.
pub fn label(combination: &Combination) -> String {
    combination
        .values()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn with(partial: &Combination, axis: &str, value: &Scalar) -> Combination {
    let mut next = partial.clone();
    next.insert(axis.to_owned(), value.clone());
    next
}

fn agrees(combination: &Combination, with: &Combination) -> bool {
    with.iter().all(|(key, value)| combination.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combination(pairs: &[(&str, &str)]) -> Combination {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Scalar::from(*value)))
            .collect()
    }

    fn matrix() -> Matrix {
        let values = |texts: &[&str]| texts.iter().map(|text| Scalar::from(*text)).collect();
        let axes = BTreeMap::from([
            ("os".to_owned(), values(&["l", "m"])),
            ("v".to_owned(), values(&["1", "2"])),
        ]);
        Matrix {
            axes,
            ..Matrix::default()
        }
    }

    #[test]
    fn every_value_meets_every_other() {
        let labels: Vec<_> = expand(&matrix()).iter().map(label).collect();
        assert_eq!(labels, ["l, 1", "l, 2", "m, 1", "m, 2"]);
    }

    #[test]
    fn excluded_combinations_are_left_out_and_included_ones_extend_or_add() {
        let mut matrix = matrix();
        matrix.exclude = vec![combination(&[("os", "m"), ("v", "1")])];
        matrix.include = vec![
            combination(&[("os", "l"), ("extra", "x")]),
            combination(&[("os", "w"), ("v", "3")]),
        ];
        let all = expand(&matrix);
        assert_eq!(all.len(), 4);
        assert_eq!(all[0], combination(&[("os", "l"), ("v", "1"), ("extra", "x")]));
        assert_eq!(all[3], combination(&[("os", "w"), ("v", "3")]));
    }

    #[test]
    fn a_matrix_of_includes_alone_is_its_includes() {
        let matrix = Matrix {
            include: vec![combination(&[("a", "1")])],
            ..Matrix::default()
        };
        assert_eq!(expand(&matrix), vec![combination(&[("a", "1")])]);
    }
}
