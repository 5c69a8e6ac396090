//! The order of the engine's functions: those that are alike lie side by side.
//!
//! gzip finds again only what lies less than 32 KiB back, and the compiler makes many functions that
//! differ in little, for types that differ in little. How they are ordered changes nothing else: what
//! a browser loads is a tenth smaller.

use std::cmp::Reverse;
use std::collections::VecDeque;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

/// How many bytes in a row two functions share, if it counts.
const RUN: usize = 6;

/// Runs that more functions than these share make none of them alike.
const MOST_SHARERS: usize = 500;

/// How many bytes of functions the next one is compared with; gzip looks back a little further.
const WINDOW: usize = 28 << 10;

type Error = Box<dyn std::error::Error>;

/// Puts the functions of a module into another order.
///
/// A module must not have names of functions, which had to be in order as well.
pub(crate) fn alike_together(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut imported = 0;
    let mut functions = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => functions.push(body.as_bytes()),
            Payload::CustomSection(section) if section.name() == "name" => {
                return Err("functions that have names stay in their order".into());
            }
            _ => {}
        }
    }
    let order = arrange(&functions);
    let mut places = vec![0; order.len()];
    for (place, function) in order.iter().enumerate() {
        places[*function] = u32::try_from(place)?;
    }
    let mut module = Module::new();
    let mut reordered = Reordered { imported, order, places };
    reordered.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

/// Returns the order of functions in which each is followed by the one that shares most with those
/// just before, for the root of its length: the length itself would put off what is long.
fn arrange(functions: &[&[u8]]) -> Vec<usize> {
    let runs = Runs::shared_by(functions);
    let mut near = Near::none(&runs, functions);
    let mut left: Vec<_> = (0..functions.len()).collect();
    let mut order = Vec::with_capacity(left.len());
    while let Some(next) = (0..left.len()).max_by(|a, b| {
        let (a, b) = (left[*a], left[*b]);
        // a² / length of a ≤ b² / length of b.
        let share_of_a = near.shared[a].pow(2) * functions[b].len() as u64;
        let share_of_b = near.shared[b].pow(2) * functions[a].len() as u64;
        (share_of_a, Reverse(a)).cmp(&(share_of_b, Reverse(b)))
    }) {
        let next = left.swap_remove(next);
        order.push(next);
        near.push(next);
    }
    order
}

/// The runs of bytes that some functions share.
struct Runs {
    /// The functions in which each run is.
    sharers: Vec<Vec<usize>>,
    /// The runs that are in each function.
    of: Vec<Vec<usize>>,
}

impl Runs {
    fn shared_by(functions: &[&[u8]]) -> Self {
        let mut all = Vec::new();
        for (function, bytes) in functions.iter().enumerate() {
            let runs = bytes.windows(RUN).filter_map(|run| run.first_chunk::<RUN>());
            all.extend(runs.map(|run| (*run, function)));
        }
        all.sort_unstable();
        all.dedup();
        let mut runs = Self { sharers: Vec::new(), of: vec![Vec::new(); functions.len()] };
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            if (2..=MOST_SHARERS).contains(&same.len()) {
                for (_, function) in same {
                    runs.of[*function].push(runs.sharers.len());
                }
                runs.sharers.push(same.iter().map(|(_, function)| *function).collect());
            }
        }
        runs
    }
}

/// The functions that were put last, as many as lie in the window.
struct Near<'a> {
    runs: &'a Runs,
    functions: &'a [&'a [u8]],
    window: VecDeque<usize>,
    bytes: usize,
    /// In how many functions of the window each run is.
    times: Vec<usize>,
    /// How much of each function's runs is in the window, by their weights.
    shared: Vec<u64>,
}

impl<'a> Near<'a> {
    fn none(runs: &'a Runs, functions: &'a [&'a [u8]]) -> Self {
        Self {
            runs,
            functions,
            window: VecDeque::new(),
            bytes: 0,
            times: vec![0; runs.sharers.len()],
            shared: vec![0; functions.len()],
        }
    }

    fn push(&mut self, function: usize) {
        self.window.push_back(function);
        self.bytes += self.functions[function].len();
        for run in &self.runs.of[function] {
            self.times[*run] += 1;
            if self.times[*run] == 1 {
                let weight = self.weight(*run);
                for sharer in &self.runs.sharers[*run] {
                    self.shared[*sharer] += weight;
                }
            }
        }
        while self.bytes > WINDOW && self.window.len() > 1 {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(function) = self.window.pop_front() else { return };
        self.bytes -= self.functions[function].len();
        for run in &self.runs.of[function] {
            self.times[*run] -= 1;
            if self.times[*run] == 0 {
                let weight = self.weight(*run);
                for sharer in &self.runs.sharers[*run] {
                    self.shared[*sharer] -= weight;
                }
            }
        }
    }

    /// How much a run tells: what few functions share makes them more alike than what many do.
    fn weight(&self, run: usize) -> u64 {
        let sharers = self.runs.sharers[run].len();
        (self.functions.len() / sharers).checked_ilog2().unwrap_or(0).into()
    }
}

/// Writes a module anew, with its functions in another order.
struct Reordered {
    /// How many functions are imported; they come first, and stay.
    imported: u32,
    /// Which function comes at each place.
    order: Vec<usize>,
    /// The place of each function.
    places: Vec<u32>,
}

type Reencoded<T> = Result<T, reencode::Error>;

impl Reencode for Reordered {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Reencoded<u32> {
        let Some(own) = function.checked_sub(self.imported) else { return Ok(function) };
        Ok(self.imported + self.places[own as usize])
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Reencoded<()> {
        let types = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for function in &self.order {
            functions.function(types[*function]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Reencoded<()> {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for function in self.order.clone() {
            self.parse_function_body(code, bodies[function].clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        ConstExpr, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function,
        ImportSection, NameMap, NameSection, RefType, TableSection, TableType, TypeSection,
        ValType,
    };
    use wasmparser::{ElementItems, Operator};

    use super::*;

    /// The number that a function ends with, which tells it from the others; and what it calls.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Told {
        number: i32,
        calls: Vec<u32>,
    }

    /// Two kinds of functions in turns: those of one kind differ in their last number only.
    fn module(functions: &[Told]) -> Module {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([], [ValType::I32]);
        module.section(&types);
        let mut imports = ImportSection::new();
        imports.import("livestore", "imported", EntityType::Function(0));
        module.section(&imports);
        let mut own = FunctionSection::new();
        for _ in functions {
            own.function(1);
        }
        module.section(&own);
        let mut tables = TableSection::new();
        let (minimum, maximum) = (functions.len() as u64, None);
        let element_type = RefType::FUNCREF;
        tables.table(TableType { element_type, table64: false, minimum, maximum, shared: false });
        module.section(&tables);
        let mut exports = ExportSection::new();
        exports.export("last", ExportKind::Func, functions.len() as u32);
        module.section(&exports);
        let mut elements = ElementSection::new();
        let all: Vec<_> = (1..=functions.len() as u32).collect();
        elements.active(None, &ConstExpr::i32_const(0), Elements::Functions(all.into()));
        module.section(&elements);
        let mut code = CodeSection::new();
        for told in functions {
            let mut function = Function::new([]);
            let mut instructions = function.instructions();
            for step in 0..20 {
                let kind = told.number % 2;
                instructions.i32_const(step * 1000 + kind * 500).drop();
            }
            for callee in &told.calls {
                instructions.call(*callee);
            }
            instructions.i32_const(told.number).end();
            code.function(&function);
        }
        module.section(&code);
        module
    }

    /// Reads the functions of a module again, and what its export and its table name.
    fn read(wasm: &[u8]) -> (Vec<Told>, u32, Vec<u32>) {
        let (mut functions, mut export, mut table) = (Vec::new(), 0, Vec::new());
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::ExportSection(section) => {
                    export = section.into_iter().next().unwrap().unwrap().index;
                }
                Payload::ElementSection(section) => {
                    let ElementItems::Functions(items) =
                        section.into_iter().next().unwrap().unwrap().items
                    else {
                        panic!("elements are functions")
                    };
                    table = items.into_iter().map(Result::unwrap).collect();
                }
                Payload::CodeSectionEntry(body) => {
                    let mut told = Told { number: 0, calls: Vec::new() };
                    for operator in body.get_operators_reader().unwrap() {
                        match operator.unwrap() {
                            Operator::Call { function_index } => told.calls.push(function_index),
                            Operator::I32Const { value } => told.number = value,
                            _ => {}
                        }
                    }
                    functions.push(told);
                }
                _ => {}
            }
        }
        (functions, export, table)
    }

    #[test]
    fn functions_that_are_alike_lie_side_by_side_and_everything_still_means_the_same() {
        let calls = |number| vec![0, 1 + (number as u32 * 7) % 40];
        let before: Vec<_> = (0..40).map(|number| Told { number, calls: calls(number) }).collect();
        let wasm = module(&before).finish();
        let (read_before, export, table) = read(&wasm);
        assert_eq!((&read_before, export, table.len()), (&before, 40, 40));

        let ordered = alike_together(&wasm).unwrap();
        let (after, export, table) = read(&ordered);

        let kinds: Vec<_> = after.iter().map(|told| told.number % 2).collect();
        assert!(kinds.is_sorted() || kinds.iter().rev().is_sorted(), "{kinds:?}");
        let number_of = |function: u32| after[function as usize - 1].number;
        assert_eq!(number_of(export), 39);
        assert!(table.into_iter().map(number_of).eq(0..40));
        for told in &after {
            let [imported, own] = told.calls[..] else { panic!("{told:?} calls two functions") };
            assert_eq!((imported, number_of(own)), (0, (told.number * 7) % 40));
        }
        assert_eq!(alike_together(&wasm).unwrap(), ordered, "it is the same each time");
    }

    #[test]
    fn a_module_with_names_or_that_is_cut_off_is_refused() {
        let mut named = module(&[Told { number: 0, calls: Vec::new() }]);
        let mut names = NameSection::new();
        let mut functions = NameMap::new();
        functions.append(1, "only");
        names.functions(&functions);
        named.section(&names);
        let error = alike_together(&named.finish()).unwrap_err();
        assert_eq!(error.to_string(), "functions that have names stay in their order");

        let whole = module(&[Told { number: 0, calls: Vec::new() }]).finish();
        assert!(alike_together(&whole[..whole.len() - 10]).is_err());
    }

    #[test]
    fn a_module_without_functions_stays_empty() {
        assert_eq!(alike_together(&Module::new().finish()).unwrap(), Module::new().finish());
    }
}
