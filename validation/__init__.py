"""Physical properties of any ASE calculator: crystals, elasticity, faults, defects, surfaces, phonons."""
