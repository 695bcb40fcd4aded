//! Sets of paths, as a trie of sorted nodes.
//!
//! A node says whether its own path is in the set and which paths below it are; no node is without either, so two sets
//! are equal exactly when their nodes are. Subtrees are shared, so the algebra copies only what it changes. The empty
//! path, the object as a whole, is never a member: nobody owns that.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::{Path, PathElement};

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(super) nodes: Vec<Node>,
}

/// One element of one level of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) element: PathElement,
    /// Whether the path that ends here is in the set.
    pub(crate) member: bool,
    /// The paths in the set that lead through here.
    pub(crate) below: Option<Arc<FieldSet>>,
}

/// What a set holds at some path and below it, while the set is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Branch {
    pub(crate) member: bool,
    pub(crate) below: FieldSet,
}

impl Branch {
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    /// Hangs another branch below this one.
    pub(crate) fn attach(&mut self, element: &PathElement, child: Branch) {
        if !child.is_empty() {
            self.below.put(Node::new(element.clone(), child.member, child.below));
        }
    }
}

impl Node {
    pub(crate) fn new(element: PathElement, member: bool, below: FieldSet) -> Self {
        let below = (!below.is_empty()).then(|| Arc::new(below));
        Self { element, member, below }
    }

    /// The node, unless nothing is left of it.
    fn kept(element: &PathElement, member: bool, below: Option<Arc<FieldSet>>) -> Option<Self> {
        let below = below.filter(|below| !below.is_empty());
        (member || below.is_some()).then(|| Self {
            element: element.clone(),
            member,
            below,
        })
    }
}

impl FieldSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many paths are in the set.
    pub fn len(&self) -> usize {
        let below = |node: &Node| node.below.as_ref().map_or(0, |below| below.len());
        self.nodes
            .iter()
            .map(|node| usize::from(node.member) + below(node))
            .sum()
    }

    /// Adds a path. Its parents are not added; the empty path is not taken.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let at = match self.find(first) {
            Ok(at) => at,
            Err(at) => {
                self.nodes.insert(
                    at,
                    Node {
                        element: first.clone(),
                        member: false,
                        below: None,
                    },
                );
                at
            }
        };
        let node = &mut self.nodes[at];
        if rest.is_empty() {
            node.member = true;
        } else {
            Arc::make_mut(node.below.get_or_insert_default()).insert(rest);
        }
    }

    /// Whether the path is in the set.
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.node(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.contains(rest)),
        }
    }

    /// The paths in either set.
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(node) | Pair::Right(node) => Some(node.clone()),
            Pair::Both(a, b) => {
                let below = match (&a.below, &b.below) {
                    (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Some(a.clone()),
                    (Some(a), Some(b)) => Some(Arc::new(a.union(b))),
                    (Some(one), None) | (None, Some(one)) => Some(one.clone()),
                    (None, None) => None,
                };
                Node::kept(&a.element, a.member || b.member, below)
            }
        })
    }

    /// The paths in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(_) | Pair::Right(_) => None,
            Pair::Both(a, b) => {
                let below = a
                    .below
                    .as_ref()
                    .zip(b.below.as_ref())
                    .map(|(a, b)| Arc::new(a.intersection(b)));
                Node::kept(&a.element, a.member && b.member, below)
            }
        })
    }

    /// The paths in this set that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(node) => Some(node.clone()),
            Pair::Right(_) => None,
            Pair::Both(a, b) => {
                let below = match (&a.below, &b.below) {
                    (Some(a), Some(b)) => Some(Arc::new(a.difference(b))),
                    (left, _) => left.clone(),
                };
                Node::kept(&a.element, a.member && !b.member, below)
            }
        })
    }

    /// The paths in this set that are not in the other and lead through no path of the other: a field goes with all
    /// that is below it.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(node) => Some(node.clone()),
            Pair::Right(_) => None,
            Pair::Both(_, b) if b.member => None,
            Pair::Both(a, b) => {
                let below = match (&a.below, &b.below) {
                    (Some(a), Some(b)) => Some(Arc::new(a.recursive_difference(b))),
                    (left, _) => left.clone(),
                };
                Node::kept(&a.element, a.member, below)
            }
        })
    }

    /// The paths of the set that lead to no other path of it.
    pub fn leaves(&self) -> Self {
        let nodes = self.nodes.iter().map(|node| match &node.below {
            Some(below) => Node {
                element: node.element.clone(),
                member: false,
                below: Some(Arc::new(below.leaves())),
            },
            None => node.clone(),
        });
        Self { nodes: nodes.collect() }
    }

    /// All paths, parents before what is below them, in the order of their elements.
    pub fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, prefix: &mut Vec<PathElement>, found: &mut Vec<Path>) {
        for node in self.nodes.iter().filter(|node| node.member) {
            found.push(prefix.iter().chain([&node.element]).cloned().collect());
        }
        for node in &self.nodes {
            if let Some(below) = &node.below {
                prefix.push(node.element.clone());
                below.collect(prefix, found);
                prefix.pop();
            }
        }
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, element: &PathElement) -> Option<&Node> {
        self.find(element).ok().map(|at| &self.nodes[at])
    }

    /// The node of a field, without making an element to look it up.
    pub(crate) fn field_node(&self, name: &str) -> Option<&Node> {
        let order = |node: &Node| match &node.element {
            PathElement::Field(field) => field.as_ref().cmp(name),
            _ => Ordering::Greater,
        };
        self.nodes.binary_search_by(order).ok().map(|at| &self.nodes[at])
    }

    /// The set below an element.
    pub(crate) fn below(&self, element: &PathElement) -> Option<&FieldSet> {
        self.node(element)?.below.as_deref()
    }

    /// Adds a node; one that is there already is joined with it. Cheap when nodes come in their order.
    pub(crate) fn put(&mut self, node: Node) {
        if self.nodes.last().is_none_or(|last| last.element < node.element) {
            self.nodes.push(node);
            return;
        }
        match self.find(&node.element) {
            Err(at) => self.nodes.insert(at, node),
            Ok(at) => {
                let there = &mut self.nodes[at];
                there.member |= node.member;
                there.below = match (there.below.take(), node.below) {
                    (Some(a), Some(b)) => Some(Arc::new(a.union(&b))),
                    (one, other) => one.or(other),
                };
            }
        }
    }

    /// Adds nodes in any order.
    pub(crate) fn from_nodes(mut nodes: Vec<Node>) -> Self {
        if !nodes.is_sorted_by(|a, b| a.element < b.element) {
            nodes.sort_by(|a, b| a.element.cmp(&b.element));
        }
        let mut set = Self {
            nodes: Vec::with_capacity(nodes.len()),
        };
        nodes.into_iter().for_each(|node| set.put(node));
        set
    }

    fn find(&self, element: &PathElement) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    fn zip<'a>(&'a self, other: &'a Self, mut keep: impl FnMut(Pair<'a>) -> Option<Node>) -> Self {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        let mut nodes = Vec::new();
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.element.cmp(&b.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self { nodes },
            };
            let pair = match order {
                Ordering::Less => left.next().map(Pair::Left),
                Ordering::Greater => right.next().map(Pair::Right),
                Ordering::Equal => left.next().zip(right.next()).map(|(a, b)| Pair::Both(a, b)),
            };
            nodes.extend(pair.and_then(&mut keep));
        }
    }
}

enum Pair<'a> {
    Left(&'a Node),
    Right(&'a Node),
    Both(&'a Node, &'a Node),
}

impl fmt::Display for FieldSet {
    /// One path a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.paths().iter().enumerate() {
            let newline = if at > 0 { "\n" } else { "" };
            write!(f, "{newline}{path}")?;
        }
        Ok(())
    }
}

impl FromIterator<Path> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut set = Self::new();
        paths.into_iter().for_each(|path| set.insert(&path.0));
        set
    }
}
