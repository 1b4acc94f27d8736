//! The functions that the transformed program has besides its own, and how a frame is written: wrappers of imports, dispatchers. All cold but the wrappers.

use crate::base::{Base, Links};
use crate::layout::{CALLED, FRAMES, READ, UNWINDING, WRITTEN, ZONE, at, word};
use crate::scalar::{Scalar, dummy, encode_all};
use wasm_encoder::{BlockType, Function, HeapType, Instruction, ValType};
use wasmparser::ValType as Plain;

/// Bytes of a frame: the site and the values.
pub(crate) fn frame_size(types: &[Scalar]) -> u32 {
    4 + types.iter().map(|ty| ty.size()).sum::<u32>()
}

fn i32_const(value: u32) -> Instruction<'static> {
    Instruction::I32Const(value.cast_signed())
}

/// Parameters and results of [`push`].
pub(crate) const PUSH: (&[Plain], &[Plain]) = (&[Plain::I32, Plain::I32], &[]);

/// Ends the writing of a frame: `(site, size)`; its values are there. What has no room in the control memory ends the program ([`crate::FRAME_BYTES`]).
pub(crate) fn push(base: &Base<'_>) -> Function {
    const SITE: u32 = 0;
    const SIZE: u32 = 1;
    const POSITION: u32 = 2;
    let mut out = Function::new([(1, ValType::I32)]);
    let control = base.control;
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    // With the first frame, every byte of the zone: the host's fill may be under way, or may be of one byte only.
    word(control, WRITTEN).into_iter().for_each(&mut write);
    [Instruction::LocalTee(POSITION), Instruction::I32Eqz, Instruction::If(BlockType::Empty)]
        .into_iter()
        .for_each(&mut write);
    [i32_const(0), i32_const(1), i32_const(ZONE), Instruction::MemoryFill(control)].into_iter().for_each(&mut write);
    [i32_const(0), i32_const(1), Instruction::I32Store(at(control, UNWINDING))].into_iter().for_each(&mut write);
    [i32_const(1), Instruction::GlobalSet(base.left()), Instruction::End].into_iter().for_each(&mut write);
    [Instruction::LocalGet(POSITION), Instruction::LocalGet(SITE), Instruction::I32Store(at(control, FRAMES))]
        .into_iter()
        .for_each(&mut write);
    [i32_const(0), Instruction::LocalGet(POSITION), Instruction::LocalGet(SIZE)].into_iter().for_each(&mut write);
    [Instruction::I32Add, Instruction::I32Store(at(control, WRITTEN)), Instruction::End]
        .into_iter()
        .for_each(&mut write);
    out
}

/// Writes a frame of these locals: its values, which nothing is alive behind, and then what [`push`] does. Values as arguments would take a function and a type of
/// function for each list of types: the JavaScript interpreter had 321 of them, and each costs whenever a program starts. `place`: a local that is free.
pub(crate) fn save(
    out: &mut Function,
    (base, links): (&Base<'_>, &Links),
    (types, locals): (&[Scalar], &[u32]),
    site: Instruction<'static>,
    place: u32,
) {
    let control = base.control;
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    if !types.is_empty() {
        // With the constant in it the offsets below are small, also in machine code.
        word(control, WRITTEN).into_iter().for_each(&mut write);
        [i32_const(FRAMES + 4), Instruction::I32Add, Instruction::LocalSet(place)].into_iter().for_each(&mut write);
    }
    let mut offset = 0;
    for (local, ty) in locals.iter().zip(types) {
        [Instruction::LocalGet(place), Instruction::LocalGet(*local)].into_iter().for_each(&mut write);
        match ty {
            Scalar::Function => write(Instruction::Call(links.keep.expect("frames hold references"))),
            Scalar::Extern => [Instruction::RefIsNull, Instruction::I32Eqz].into_iter().for_each(&mut write),
            _ => {}
        }
        write(ty.store(at(control, offset)));
        offset += ty.size();
    }
    [site, i32_const(frame_size(types)), Instruction::Call(links.push)].into_iter().for_each(write);
}

/// An import as the program calls it:
///
/// ```wat
/// (func (param …) (result …)
///   local.get …  call $import                  ;; "would block": the host sets `unwinding` and returns anything
///   i32.const 0  i32.load $control offset=4096
///   if  …the arguments as a frame…  i32.const RARE  return  end)
/// ```
///
/// It asks for `unwinding` and never for the request byte: a call that was made must not be made again.
pub(crate) fn wrapper(base: &Base<'_>, links: &Links, import: u32) -> Function {
    let site = base.table.first[import as usize];
    let saved = &base.table.sites[&site].saved;
    let locals: Vec<u32> = (0..crate::number(saved.len())).collect();
    let mut out = Function::new([(1, ValType::I32)]);
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    locals.iter().for_each(|local| write(Instruction::LocalGet(*local)));
    write(Instruction::Call(import));
    word(base.control, UNWINDING).into_iter().for_each(&mut write);
    write(Instruction::If(BlockType::Empty));
    save(&mut out, (base, links), (saved, &locals), i32_const(site), crate::number(locals.len()));
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    base.program.type_of(import).results().iter().for_each(|ty| write(dummy(*ty)));
    [Instruction::Return, Instruction::End, Instruction::End].into_iter().for_each(&mut write);
    out
}

/// How a continuation calls a function of the program: as one of its type, which of them is a word of the control memory. So no function of the program escapes.
pub(crate) fn dispatcher(control: u32, parameters: u32, targets: &[u32]) -> Function {
    let count = crate::number(targets.len());
    let mut out = Function::new([]);
    let mut write = |instruction: Instruction<'_>| _ = out.instruction(&instruction);
    (0..=count).for_each(|_| write(Instruction::Block(BlockType::Empty)));
    word(control, CALLED).into_iter().for_each(&mut write);
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
