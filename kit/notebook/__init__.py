"""What a notebook and its user have around it: magics, the doctor, profiles, `asyncio.run` in cells."""
