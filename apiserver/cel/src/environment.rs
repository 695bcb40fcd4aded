//! What an expression may name: variables with their types, and lazily computed variables that build on each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check;
use crate::declared::Declared;
use crate::errors::CompileError;
use crate::estimate;
use crate::eval::plan;
use crate::program::Program;
use crate::source::{self, Issue};
use crate::syntax;
use crate::types::Type;

/// The variable that holds the lazy ones.
pub(crate) const VARIABLES: &str = "variables";
pub(crate) const VARIABLES_TYPE: &str = "kubernetes.variables";

/// How high the tree of an expression may be together with those of the lazy variables it builds on.
const MAX_TOTAL_HEIGHT: usize = 1_000;

/// The compiler needs so much stack for the deepest expression allowed.
const COMPILE_STACK: usize = 16 << 20;

/// Variables and their types, with the libraries of Kubernetes 1.33. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    /// By lazy variable: the height of all it builds on.
    heights: BTreeMap<String, usize>,
}

#[derive(Clone, Debug)]
struct Variable {
    ty: Type,
    /// What the cost estimate knows of its size.
    declared: Option<Arc<Declared>>,
}

/// Lazy variables in the order in which they were declared: `variables.NAME` of a policy. Each may use those before it.
#[derive(Debug, Default)]
pub struct Composition {
    programs: Vec<(String, Program)>,
}

impl Composition {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable. Its expression is compiled in an environment that has the variables before it
    /// ([`Environment::with_variables`]). A second variable of one name is refused, and one that was compiled with others:
    /// so none can build on itself.
    pub fn add(&mut self, name: impl Into<String>, program: Program) -> Result<(), CompileError> {
        let name = name.into();
        if self.programs.iter().any(|(known, _)| *known == name) {
            return Err(CompileError::Invalid(format!("variable '{name}' is declared twice")));
        }
        if let Some(missing) = program
            .lazies()
            .find(|used| !self.programs.iter().any(|(known, _)| known == used))
        {
            return Err(CompileError::Invalid(format!(
                "variable '{name}' builds on '{missing}', which is not there"
            )));
        }
        self.programs.push((name, program));
        Ok(())
    }

    pub(crate) fn programs(&self) -> impl Iterator<Item = (&str, &Program)> {
        self.programs.iter().map(|(name, program)| (name.as_str(), program))
    }
}

impl Environment {
    /// Without any variable.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a variable by its schema.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, declared: &Arc<Declared>) -> Self {
        let variable = Variable {
            ty: declared.ty.clone(),
            declared: Some(declared.clone()),
        };
        self.variables.insert(name.into(), variable);
        self
    }

    /// Declares a variable that may have no value: an optional of its schema's type.
    #[must_use]
    pub fn optional_variable(mut self, name: impl Into<String>, declared: &Arc<Declared>) -> Self {
        let variable = Variable {
            ty: Type::optional(declared.ty.clone()),
            declared: Some(declared.clone()),
        };
        self.variables.insert(name.into(), variable);
        self
    }

    /// Declares a variable by its type alone.
    #[must_use]
    pub fn typed_variable(mut self, name: impl Into<String>, ty: Type) -> Self {
        let declared = None;
        self.variables.insert(name.into(), Variable { ty, declared });
        self
    }

    /// Declares `variables`, an object with a field for each of the composition's variables, of its expression's type.
    #[must_use]
    pub fn with_variables(&self, composition: &Composition) -> Self {
        let fields = composition
            .programs
            .iter()
            .map(|(name, program)| (name.clone(), program.output().clone()));
        let ty = Type::object(VARIABLES_TYPE, fields);
        let mut environment = self.clone().typed_variable(VARIABLES, ty);
        let heights = composition.programs.iter();
        environment.heights = heights
            .map(|(name, program)| (name.clone(), program.height()))
            .collect();
        environment
    }

    pub(crate) fn variable_type(&self, name: &str) -> Option<&Type> {
        self.variables.get(name).map(|variable| &variable.ty)
    }

    pub(crate) fn declared(&self, name: &str) -> Option<&Arc<Declared>> {
        self.variables.get(name)?.declared.as_ref()
    }

    /// Compiles an expression whose value must be of one of the types `expected`; of any type, if that is empty. `dyn` is
    /// a type of its own here, as in Kubernetes: it is not good for a boolean.
    pub fn compile(&self, text: &str, expected: &[Type]) -> Result<Program, CompileError> {
        let program = stacker::maybe_grow(COMPILE_STACK / 2, COMPILE_STACK, || self.compile_here(text))
            .map_err(|issues| CompileError::Invalid(source::render(text, &issues)))?;
        if !expected.is_empty() && !expected.contains(program.output()) {
            return Err(CompileError::Output {
                expected: expected.to_vec(),
                found: program.output().clone(),
            });
        }
        Ok(program)
    }

    fn compile_here(&self, text: &str) -> Result<Program, Vec<Issue>> {
        let ast = syntax::parse(text).map_err(|issue| vec![issue])?;
        let checked = check::check(&ast, self)?;
        let plan = plan::plan(&ast, &checked);
        let below = plan.lazies.iter().filter_map(|name| self.heights.get(name)).max();
        let height = usize::from(ast.root.height) + below.copied().unwrap_or(0);
        if height > MAX_TOTAL_HEIGHT {
            let message = format!("expression recursion limit exceeded: {MAX_TOTAL_HEIGHT}");
            return Err(vec![Issue::whole(message)]);
        }
        let cost = estimate::cost(&ast, &checked, self);
        let output = checked.ty(ast.root.id).clone();
        Ok(Program::new(plan, output, height, cost))
    }
}
