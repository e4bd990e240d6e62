"""English words whose forms no stemmer brings together: `went` is found by `go`, `children` by `child`."""

from __future__ import annotations

_FORMS = """
be was were been; become became; begin began begun; bend bent; bind bound; bite bit bitten; blow blew blown; break broke broken;
bring brought; build built; burn burnt; buy bought; catch caught; choose chose chosen; come came; creep crept; deal dealt;
dig dug; draw drew drawn; dream dreamt; drink drank drunk; drive drove driven; eat ate eaten; fall fell fallen; feed fed;
feel felt; fight fought; find found; flee fled; fly flew flown; forget forgot forgotten; forgive forgave forgiven;
freeze froze frozen; give gave given; go went gone; grind ground; grow grew grown; hang hung; hear heard; hide hid hidden;
hold held; keep kept; know knew known; lay laid; lead led; learn learnt; leave left; lend lent; light lit; lose lost;
make made; mean meant; meet met; overcome overcame; override overrode overridden; overwrite overwrote overwritten; pay paid;
prove proven; rebuild rebuilt; rewrite rewrote rewritten; ride rode ridden; ring rang rung; rise rose risen; run ran; say said;
see saw seen; seek sought; sell sold; send sent; shake shook shaken; shine shone; shoot shot; show shown; shrink shrank shrunk;
sing sang sung; sink sank sunk; sit sat; sleep slept; slide slid; speak spoke spoken; spend spent; spin spun; spring sprang sprung;
stand stood; steal stole stolen; stick stuck; sting stung; strike struck; swear swore sworn; sweep swept; swim swam swum;
take took taken; teach taught; tear tore torn; tell told; think thought; throw threw thrown; understand understood;
undo undid undone; wake woke woken; wear wore worn; weave wove woven; win won; wind wound; withdraw withdrew withdrawn;
write wrote written;
analysis analyses; child children; crisis crises; criterion criteria; foot feet; half halves; index indices; knife knives;
leaf leaves; life lives; man men; matrix matrices; mouse mice; person people; self selves; shelf shelves; tooth teeth;
vertex vertices; wife wives; woman women
"""
BASE = {form: base for base, *forms in (group.split() for group in _FORMS.split(";")) for form in forms}
"""A form to its base: lower case, neither stemmed."""
