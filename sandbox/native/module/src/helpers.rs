//! The functions that the transformed program has besides its own: frame writers, wrappers of imports, dispatchers. All cold but the wrappers.

use crate::base::{Base, Links};
use crate::layout::{FRAMES, READ, UNWINDING, WRITTEN, ZONE, at, word};
use crate::scalar::{Scalar, dummy, encode_all, plain};
use wasm_encoder::{BlockType, Function, HeapType, Instruction, ValType};

/// Bytes of a frame: the site and the values.
pub(crate) fn frame_size(types: &[Scalar]) -> u32 {
    4 + types.iter().map(|ty| ty.size()).sum::<u32>()
}

fn i32_const(value: u32) -> Instruction<'static> {
    Instruction::I32Const(value.cast_signed())
}

/// Writes a frame: `(values.., site)`. It cannot fail, since the control memory is as large as all frames of a full stack.
pub(crate) fn push(base: &Base<'_>, links: &Links, types: &[Scalar]) -> Function {
    let site = crate::number(types.len());
    let position = site + 1;
    let mut out = Function::new([(1, ValType::I32)]);
    let control = base.control;
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    // With the first frame, every byte of the zone: the host's fill may be under way, or may be of one byte only.
    word(control, WRITTEN).into_iter().for_each(&mut write);
    [Instruction::I32Eqz, Instruction::If(BlockType::Empty)].into_iter().for_each(&mut write);
    [i32_const(0), i32_const(1), i32_const(ZONE), Instruction::MemoryFill(control)].into_iter().for_each(&mut write);
    [i32_const(0), i32_const(1), Instruction::I32Store(at(control, UNWINDING))].into_iter().for_each(&mut write);
    [i32_const(1), Instruction::GlobalSet(base.left())].into_iter().for_each(&mut write);
    write(Instruction::End);
    word(control, WRITTEN).into_iter().for_each(&mut write);
    write(Instruction::LocalTee(position));
    [Instruction::LocalGet(site), Instruction::I32Store(at(control, FRAMES))].into_iter().for_each(&mut write);
    let mut offset = FRAMES + 4;
    for (local, ty) in (0..).zip(types) {
        [Instruction::LocalGet(position), Instruction::LocalGet(local)].into_iter().for_each(&mut write);
        match ty {
            Scalar::Function => write(Instruction::Call(links.keep.expect("frames hold references"))),
            Scalar::Extern => [Instruction::RefIsNull, Instruction::I32Eqz].into_iter().for_each(&mut write),
            _ => {}
        }
        write(ty.store(at(control, offset)));
        offset += ty.size();
    }
    [i32_const(0), Instruction::LocalGet(position), i32_const(frame_size(types))].into_iter().for_each(&mut write);
    [Instruction::I32Add, Instruction::I32Store(at(control, WRITTEN)), Instruction::End]
        .into_iter()
        .for_each(&mut write);
    out
}

/// An import as the program calls it:
///
/// ```wat
/// (func (param …) (result …)
///   local.get …  call $import                  ;; "would block": the host sets `unwinding` and returns anything
///   i32.const 0  i32.load $control offset=4096
///   if  local.get …  i32.const SITE  call $push  i32.const RARE  return  end)
/// ```
///
/// It asks for `unwinding` and never for the request byte: a call that was made must not be made again.
pub(crate) fn wrapper(base: &Base<'_>, links: &Links, import: u32) -> Function {
    let site = base.table.first[import as usize];
    let saved = &base.table.sites[site as usize].saved;
    let mut out = Function::new([]);
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    let arguments = || (0..crate::number(saved.len())).map(Instruction::LocalGet);
    arguments().for_each(&mut write);
    write(Instruction::Call(import));
    word(base.control, UNWINDING).into_iter().for_each(&mut write);
    write(Instruction::If(BlockType::Empty));
    arguments().for_each(&mut write);
    [i32_const(site), Instruction::Call(links.push[saved])].into_iter().for_each(&mut write);
    base.program.type_of(import).results().iter().for_each(|ty| write(dummy(*ty)));
    [Instruction::Return, Instruction::End, Instruction::End].into_iter().for_each(&mut write);
    out
}

/// How a continuation calls a function of the program: `(arguments.., which)`. So no function of the program escapes.
pub(crate) fn dispatcher(parameters: u32, targets: &[u32]) -> Function {
    let count = crate::number(targets.len());
    let mut out = Function::new([]);
    let mut write = |instruction: Instruction<'_>| _ = out.instruction(&instruction);
    (0..=count).for_each(|_| write(Instruction::Block(BlockType::Empty)));
    write(Instruction::LocalGet(parameters));
    let listed: Vec<u32> = (0..count).collect();
    write(Instruction::BrTable(listed.into(), count));
    for target in targets {
        write(Instruction::End);
        (0..parameters).for_each(|local| write(Instruction::LocalGet(local)));
        write(Instruction::ReturnCall(*target));
    }
    [Instruction::End, Instruction::Unreachable, Instruction::End].into_iter().for_each(write);
    out
}

/// Chooses the continuation of the next frame: its position lies at the read position.
pub(crate) fn next(control: u32, bodies: &[Option<u32>]) -> Function {
    let count = crate::number(bodies.len());
    let mut out = Function::new([]);
    let mut write = |instruction: Instruction<'_>| _ = out.instruction(&instruction);
    (0..=count).for_each(|_| write(Instruction::Block(BlockType::Empty)));
    word(control, READ).into_iter().for_each(&mut write);
    write(Instruction::I32Load(at(control, FRAMES)));
    let listed: Vec<u32> = (0..count).collect();
    write(Instruction::BrTable(listed.into(), count));
    for body in bodies {
        write(Instruction::End);
        write(body.map_or(Instruction::Unreachable, Instruction::ReturnCall));
    }
    [Instruction::End, Instruction::Unreachable, Instruction::End].into_iter().for_each(write);
    out
}

/// Pops a frame: its values go into the locals, or stay on the stack where there are none.
pub(crate) fn pop(
    out: &mut Function,
    (base, links): (&Base<'_>, &Links),
    types: &[Scalar],
    position: u32,
    locals: Option<&[u32]>,
) {
    let control = base.control;
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    write(i32_const(0));
    word(control, READ).into_iter().for_each(&mut write);
    [Instruction::LocalTee(position), i32_const(frame_size(types))].into_iter().for_each(&mut write);
    [Instruction::I32Add, Instruction::I32Store(at(control, READ))].into_iter().for_each(&mut write);
    let mut offset = FRAMES + 4;
    for (index, ty) in types.iter().enumerate() {
        match ty {
            Scalar::Extern => write(Instruction::RefNull(HeapType::EXTERN)),
            _ => [Instruction::LocalGet(position), ty.load(at(control, offset))].into_iter().for_each(&mut write),
        }
        if *ty == Scalar::Function {
            write(Instruction::Call(links.take.expect("frames hold references")));
        }
        offset += ty.size();
        if let Some(locals) = locals {
            write(Instruction::LocalSet(locals[index]));
        }
    }
}

/// A body without parameters whose locals are these.
pub(crate) fn with_locals(locals: &[wasmparser::ValType]) -> Function {
    Function::new_with_locals_types(encode_all(locals))
}

/// The parameters of a frame writer: the values, and the site.
pub(crate) fn push_params(types: &[Scalar]) -> Vec<wasmparser::ValType> {
    let mut params = plain(types);
    params.push(wasmparser::ValType::I32);
    params
}
