//! A program with its steps counted: what is changed in its text so that no loop goes round unseen.

use super::{TICK, TICK_VAR, TIMES};
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

type Counted<'s, T> = Result<T, &'s str>;

/// A definition that counts each of its calls.
pub(super) fn definition<'s>(def: Def<&'s str>) -> Counted<'s, Def<&'s str>> {
    Ok(Def { body: before(counted(def.body)?), ..def })
}

/// A step, then a term.
fn before(term: Term<&str>) -> Term<&str> {
    let tick = Term::Call(TICK, Vec::new());
    Term::BinOp(tick.into(), BinaryOp::Pipe(Some(Pattern::Var(TICK_VAR))), term.into())
}

/// A term, and a step for each of its values.
fn behind(term: Term<&str>) -> Term<&str> {
    Term::BinOp(term.into(), BinaryOp::Pipe(None), before(Term::Id).into())
}

/// A program in which no loop goes round without a step: each call of a definition, each turn of `reduce` and `foreach`, and
/// each value of what gives many is one. Fails with the place of what cannot be counted.
pub(super) fn counted(term: Term<&str>) -> Counted<'_, Term<&str>> {
    let boxed = |term: Box<Term<_>>| counted(*term).map(Box::new);
    let maybe = |term: Option<Box<Term<_>>>| term.map(boxed).transpose();
    Ok(match term {
        Term::Recurse => behind(Term::Recurse),
        Term::Id | Term::Num(_) | Term::Break(_) | Term::Var(_) => term,
        Term::Str(format, parts) => {
            let parts = parts.into_iter().map(|part| match part {
                StrPart::Term(term) => counted(term).map(StrPart::Term),
                other => Ok(other),
            });
            Term::Str(format, parts.collect::<Counted<'_, _>>()?)
        }
        Term::Arr(term) => Term::Arr(maybe(term)?),
        Term::Obj(fields) => {
            let fields = fields.into_iter().map(|(key, value)| Ok((counted(key)?, value.map(counted).transpose()?)));
            Term::Obj(fields.collect::<Counted<'_, _>>()?)
        }
        Term::Neg(term) => Term::Neg(boxed(term)?),
        Term::BinOp(left, BinaryOp::Math(Math::Mul), right) => {
            Term::Call(TIMES, vec![counted(*left)?, counted(*right)?])
        }
        Term::BinOp(left, BinaryOp::UpdateMath(Math::Mul), _) => return Err(place(&left)),
        Term::BinOp(left, operator, right) => Term::BinOp(boxed(left)?, operator, boxed(right)?),
        Term::Label(name, term) => Term::Label(name, boxed(term)?),
        Term::Fold(name, source, pattern, bodies) => {
            let bodies = bodies.into_iter().map(|body| counted(body).map(before));
            Term::Fold(name, boxed(source)?, pattern, bodies.collect::<Counted<'_, _>>()?)
        }
        Term::TryCatch(term, catch) => Term::TryCatch(boxed(term)?, maybe(catch)?),
        Term::IfThenElse(cases, other) => {
            let cases = cases.into_iter().map(|(case, then)| Ok((counted(case)?, counted(then)?)));
            Term::IfThenElse(cases.collect::<Counted<'_, _>>()?, maybe(other)?)
        }
        Term::Def(definitions, term) => {
            let definitions = definitions.into_iter().map(definition);
            Term::Def(definitions.collect::<Counted<'_, _>>()?, boxed(term)?)
        }
        Term::Call(name, arguments) => {
            let many = name == "range" && arguments.len() == 3;
            let arguments = arguments.into_iter().map(counted);
            let call = Term::Call(name, arguments.collect::<Counted<'_, _>>()?);
            if many { behind(call) } else { call }
        }
        Term::Path(head, path) => many_of(boxed(head)?, path)?,
    })
}

/// A path; one that goes over all items counts each.
fn many_of<'s>(head: Box<Term<&'s str>>, path: Path<Term<&'s str>>) -> Counted<'s, Term<&'s str>> {
    let mut many = false;
    let mut parts = Vec::with_capacity(path.0.len());
    for (part, optional) in path.0 {
        let part = match part {
            Part::Index(index) => Part::Index(counted(index)?),
            Part::Range(None, None) => {
                many = true;
                Part::Range(None, None)
            }
            Part::Range(from, to) => Part::Range(from.map(counted).transpose()?, to.map(counted).transpose()?),
        };
        parts.push((part, optional));
    }
    let path = Term::Path(head, Path(parts));
    Ok(if many { behind(path) } else { path })
}

/// Some place of a term.
fn place<'s>(term: &Term<&'s str>) -> &'s str {
    match term {
        Term::Num(name) | Term::Break(name) | Term::Var(name) | Term::Call(name, _) => name,
        Term::Path(head, path) => match path.0.first() {
            Some((Part::Index(Term::Str(_, parts)), _)) => match parts.first() {
                Some(StrPart::Str(name)) => name,
                _ => place(head),
            },
            _ => place(head),
        },
        _ => "",
    }
}
