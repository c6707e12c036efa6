/** EFLAGS bits that the module looks at (SDM vol. 3, 2.3). */
export const FLAG_IF = 0x200
export const FLAG_TF = 0x100
