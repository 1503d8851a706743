//! What the host's prebuilt `core` expects of a C library and of an unwinder.

use core::arch::global_asm;

// In assembly, for the compiler would turn loops in Rust into calls of themselves. An interrupted `rep` goes on where it was.
global_asm!(
    r#"
.pushsection .text.shims, "ax"
.global memcpy, memmove, memset, memcmp, bcmp
memcpy:
    mov  rax, rdi
    mov  rcx, rdx
    rep  movsb
    ret

memmove:
    mov  rax, rdi
    mov  rcx, rdx
    mov  r8, rdi
    sub  r8, rsi
    cmp  r8, rdx
    jb   2f                         // the destination begins inside the source: from the end
    rep  movsb
    ret
2:  lea  rdi, [rdi + rdx - 1]
    lea  rsi, [rsi + rdx - 1]
    std
    rep  movsb
    cld
    ret

memset:
    mov  r8, rdi
    mov  eax, esi
    mov  rcx, rdx
    rep  stosb
    mov  rax, r8
    ret

memcmp:
bcmp:
    xor  eax, eax
    mov  rcx, rdx
    cmp  rcx, rcx                   // equal, should there be nothing to compare
    repe cmpsb
    je   2f
    movzx eax, byte ptr [rdi - 1]
    movzx ecx, byte ptr [rsi - 1]
    sub  eax, ecx
2:  ret
.popsection
"#
);

/// The prebuilt `core` was compiled to unwind, and names what would do it; with panic = "abort" none is
/// called.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
